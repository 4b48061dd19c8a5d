//! How much memory all calls under way may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub struct Memory {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// Some of it; dropped, it is free again.
#[derive(Debug)]
pub struct Held {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// Nothing yet.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { memory: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes some more; false where there is no room.
    pub fn grow(&mut self, by: usize) -> bool {
        let before = self.memory.taken.fetch_add(by, Ordering::Relaxed);
        if before.saturating_add(by) > self.memory.most {
            self.memory.taken.fetch_sub(by, Ordering::Relaxed);
            return false;
        }
        self.bytes += by;
        true
    }

    /// Holds so many bytes from now on, more or fewer than before; false, and all that was held
    /// before is held still, where there is no room for more.
    pub fn settle(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            return self.grow(more);
        }
        self.memory.taken.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn room_is_given_back() {
        let memory = Memory::new(10);
        let mut one = memory.hold();
        let mut two = memory.hold();
        assert!(one.grow(6) && !two.grow(6) && two.grow(4) && !one.grow(1));
        drop(one);
        assert!(two.grow(6));
        assert!(!two.settle(11) && two.settle(3) && memory.hold().grow(7) && two.settle(10));
    }
}
