//! The integration tests of bookstore-api: the real binary on a free port, an own data folder, and
//! an Ollama that the test plays. Files mirror the routes; `service.rs`, `upstream.rs` and
//! `servers.rs` are the stage.

#[cfg(test)]
mod authors;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod books;
#[cfg(test)]
mod cache_aside;
#[cfg(test)]
mod cache_contract;
#[cfg(test)]
mod conditions;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod experiments;
#[cfg(test)]
mod history;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod import;
#[cfg(test)]
#[cfg(feature = "integration")]
mod instances;
#[cfg(test)]
mod lease_contract;
#[cfg(test)]
mod limits_contract;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod migration;
#[cfg(test)]
#[cfg(feature = "integration")]
mod mongo_faults;
#[cfg(test)]
#[cfg(feature = "mongod")]
mod mongo_plans;
#[cfg(test)]
#[cfg(feature = "integration")]
mod mongo_server;
#[cfg(test)]
#[cfg(feature = "integration")]
mod ollama;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod providers;
#[cfg(test)]
#[cfg(feature = "integration")]
mod redis_faults;
#[cfg(test)]
mod safety;
#[cfg(test)]
#[cfg(feature = "integration")]
mod servers;
#[cfg(test)]
mod service;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod spend;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod store_model;
#[cfg(test)]
mod store_races;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod summaries;
#[cfg(test)]
mod teller;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod usage;
