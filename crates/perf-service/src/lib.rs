//! The performance service: drives k6, keeps its runs, and says what came of them.
//!
//! In reading order: `settings`, `app` (the only file that names adapters), `http` (every route),
//! `runs` (use cases), `billing` (what a run may spend), `run_state` (a run's life), `ledger` and `engine` (ports, with their
//! adapters below them), `samples` to `results` (from k6's output to figures), `report` and
//! `console` (how figures look). `gate` is the second process, which holds Docker's socket.

pub mod aggregate;
pub mod app;
pub mod billing;
pub mod builds;
pub mod comparisons;
pub mod console;
pub mod engine;
pub mod environment;
pub mod follow;
pub mod gate;
pub mod http;
pub mod ledger;
pub mod neighbours;
pub mod progress;
pub mod report;
pub mod results;
pub mod run_state;
pub mod runs;
pub mod samples;
pub mod scenarios;
pub mod settings;
pub mod targets;
pub mod trends;
