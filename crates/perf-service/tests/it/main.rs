//! perf-service from outside: its binary, its API, a real k6.
//!
//! `K6_BIN` has to name a k6 (`make k6` prints one). Tests that need a Docker daemon are behind the
//! feature `integration`, which `make test-integration` turns on.

#![cfg(test)]

mod command_line;
#[cfg(feature = "integration")]
mod docker;
mod events;
mod hostile_starts;
mod k6;
mod odd_k6;
mod openapi;
mod past_runs;
mod remote_write;
mod runs;
mod service;
mod shop;
mod spending;
