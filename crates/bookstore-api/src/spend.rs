//! What tenants spend: budgets and limits before a call, the ledger after it.

use std::sync::Arc;

use llm::{Gate, OpenGate};

use crate::tenants::Tenant;

/// The use case.
#[derive(Clone, Default)]
pub struct Spend;

impl Spend {
    /// What lets the attempts of one request of `tenant` in, and writes down what they used up.
    #[must_use]
    pub fn gate(&self, _tenant: &Tenant) -> Arc<dyn Gate> {
        Arc::new(OpenGate)
    }
}
