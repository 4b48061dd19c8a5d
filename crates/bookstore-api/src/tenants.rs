//! Tenants: on whose account a request spends.
//!
//! Owns who they are and how they are told apart. Knows no header and no store.

use std::fmt;
use std::sync::Arc;

/// The tenant of whoever names none.
const DEFAULT: &str = "default";

/// A tenant's name, bounded and safe to be shown and stored; never a label of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Arc::from(DEFAULT))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
