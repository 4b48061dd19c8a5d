//! The integration tests of http-server: services of a few routes on a free port, asked over HTTP
//! and over bare sockets.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod stage;
