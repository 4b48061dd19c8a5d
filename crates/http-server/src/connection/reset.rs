//! Resetting a connection on purpose, as a provider's broken proxy does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the extensions of an HTTP/1 request: asks for its connection to be reset (TCP RST) rather than
/// closed, once it is let go, such as when an answer's body fails.
#[derive(Clone, Debug, Default)]
pub struct Reset(Arc<AtomicBool>);

impl Reset {
    /// From here on the connection ends with a reset.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked for.
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
