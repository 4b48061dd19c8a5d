//! perf-service from outside: its binary, its API, a real k6.
//!
//! `K6_BIN` has to name a k6 (`make k6` prints one). Tests that need a Docker daemon, a Redis or a
//! browser (`CHROMIUM_BIN`) are behind the feature `integration`, which `make test-integration` turns on.

#![cfg(test)]

#[cfg(feature = "integration")]
mod backend;
#[cfg(feature = "integration")]
mod browser;
mod command_line;
#[cfg(feature = "integration")]
mod compared_images;
mod comparisons;
#[cfg(feature = "integration")]
mod counts;
#[cfg(feature = "integration")]
mod docker;
mod events;
mod gate;
#[cfg(feature = "integration")]
mod gated_docker;
mod hostile_starts;
mod k6;
mod metrics;
#[cfg(feature = "integration")]
mod neighbours;
mod odd_k6;
mod openapi;
mod past_runs;
mod plain_k6;
mod remote_write;
mod runs;
mod service;
mod shop;
mod spending;
mod stall;
mod survival;
