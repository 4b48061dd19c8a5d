//! bookstore-api: books, authors, and summaries that LLMs write.
//!
//! Rooms in reading order from the door: `settings` → `app` → `http` → `catalog`, `summaries`,
//! `import` (use cases) → `store`, `cache`, `leases` (ports) → their adapters.

pub mod app;
pub mod archive;
pub mod book;
pub mod cache;
pub mod cache_aside;
pub mod catalog;
pub mod experiments;
pub mod flight;
pub mod http;
pub mod import;
pub mod import_command;
pub mod import_jobs;
pub mod isbn;
pub mod leases;
pub mod limits;
pub mod probes;
pub mod prompt;
pub mod providers;
pub mod redis_link;
pub mod safety;
pub mod search;
pub mod seed;
pub mod settings;
pub mod spend;
pub mod standing;
pub mod store;
pub mod summaries;
pub mod tenants;
pub mod upkeep_command;
