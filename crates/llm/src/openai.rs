//! `OpenAI`'s Chat Completions, and the servers that speak them.
//!
//! Owns that protocol.
