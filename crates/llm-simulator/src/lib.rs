//! A stand-in, at zero cost, for the providers of large language models, on their own wire
//! protocols.
//!
//! Owns what is answered (text, token counts), when (a drawn latency) and how (each provider's
//! wire). Must not know `llm` nor its wire types: one misunderstanding must not sit on both sides.
//!
//! In reading order: [`settings`], [`app`], [`http`] (the door), [`simulator`] (what is answered
//! and what fails), [`answer`] (one answer, drawn), [`delivery`] (an answer handed over in time),
//! and the pure parts below: [`question`], [`draws`], [`profile`], [`latency`], [`text`],
//! [`tokens`].

pub mod allowance;
pub mod answer;
pub mod app;
pub mod call;
mod clock;
pub mod delivery;
pub mod draws;
pub mod failure;
pub mod faults;
pub mod fit;
pub mod fit_command;
pub mod http;
pub mod latency;
pub mod models;
pub mod profile;
pub mod profiles_command;
pub mod question;
pub mod record;
pub mod recording;
pub mod redact;
pub mod replay;
pub mod settings;
pub mod simulator;
pub mod text;
pub mod tokens;
pub mod upstream;
