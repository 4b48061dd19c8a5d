//! The integration tests of http-server: services of a few routes on a free port, asked over HTTP
//! and over bare sockets.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod load;
#[cfg(test)]
mod slow_readers;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod wire;
