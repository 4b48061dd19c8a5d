//! perf-service from outside: its binary, its API, a real k6.
//!
//! `K6_BIN` has to name a k6 (`make k6` prints one). Tests that need a Docker daemon are behind the
//! feature `integration`, which `make test-integration` turns on.

#![cfg(test)]

mod command_line;
mod comparisons;
#[cfg(feature = "integration")]
mod docker;
mod k6;
mod odd_k6;
mod runs;
mod service;
mod shop;
