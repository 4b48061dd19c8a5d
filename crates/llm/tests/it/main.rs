//! The contract of all providers, held against fixtures of their wire protocols, real servers and
//! llm-simulator.
//!
//! A provider joins by a file of its own: a [`wire::Wire`] that says how it is made and what its
//! protocol looks like, and `contract!(WIRE)`, which makes the tests.

#![cfg(test)]

mod bedrock;
mod canary;
mod claude;
mod contract;
mod ollama;
mod openai;
#[cfg(feature = "integration")]
mod real;
mod script;
#[cfg(feature = "integration")]
mod simulator;
mod wire;
