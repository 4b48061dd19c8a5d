//! perf-service from outside: its binary, its API, a real k6.
//!
//! `K6_BIN` has to name a k6 (`make k6` prints one). Tests that need a Docker daemon or a Redis are
//! behind the feature `integration`, which `make test-integration` turns on.

#![cfg(test)]

mod command_line;
#[cfg(feature = "integration")]
mod docker;
mod gate;
#[cfg(feature = "integration")]
mod gated_docker;
mod k6;
#[cfg(feature = "integration")]
mod neighbours;
mod odd_k6;
mod runs;
mod service;
mod shop;
mod survival;
