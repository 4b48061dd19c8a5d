//! How a service listens, limits and stops; all three binaries share it.
//!
//! Owns the accept loop with its deadlines, the checks that every request passes, problem answers
//! and the drain at the end. Must not know any domain, store or provider. axum and hyper live here
//! and in the services' `http*` modules only.

pub mod access;
mod arriving;
mod connection;
pub mod cors;
mod descriptors;
pub mod docs;
pub mod extract;
pub mod health;
pub mod layers;
pub mod listener;
pub mod problem;
pub mod signals;
pub mod start_page;
pub mod tls;
pub mod token;

pub use access::require_token;
pub use connection::{Peer, Reset};
pub use cors::Origin;
pub use docs::{docs_routes, metrics_route};
pub use listener::{Limits, ListenError, ListenSettings, Listener, bind, serve};
pub use problem::ProblemResponse;
pub use signals::{cancel_on_signal, stop_signal};
pub use start_page::{Link, StartPage, start_page_route};
pub use tls::{TlsError, TlsIdentity, TlsOptions, TlsSettings};
pub use token::{ApiToken, TokenError};
