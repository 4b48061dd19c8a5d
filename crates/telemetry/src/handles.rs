//! Handles of series, kept by what tells them apart.
//!
//! Looking a series up by its labels costs several times what adding to it does. A list and no map:
//! there are a handful of each, and comparing two words is cheaper than hashing them.

use std::sync::{PoisonError, RwLock};

/// Handles in the order in which they came up.
pub(crate) struct Handles<K, H>(RwLock<Vec<(K, H)>>);

impl<K, H> Default for Handles<K, H> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Copy + Eq, H> Handles<K, H> {
    /// Works with the handle of `key`, which is bound the first time.
    pub(crate) fn with(&self, key: K, bind: impl FnOnce() -> H, work: impl FnOnce(&H)) {
        // A panic in between leaves a sound list.
        let handles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = handles.iter().find(|(kept, _)| *kept == key) {
            return work(handle);
        }
        drop(handles);
        let handle = bind();
        work(&handle);
        let mut handles = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Two at once may both have bound one: to the same series, so either will do.
        if !handles.iter().any(|(kept, _)| *kept == key) {
            handles.push((key, handle));
        }
    }
}
