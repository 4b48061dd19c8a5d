//! Amazon Bedrock's Converse and `ConverseStream`.
//!
//! Owns that protocol.
