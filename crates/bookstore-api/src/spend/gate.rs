//! The gate of one request: what it has reserved for each of its attempts, and the settling of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::NaiveDate;
use llm::{Attempt, Gate, LlmError, Plan, Usd};
use tokio::sync::oneshot;

use super::ledger::Account;
use super::{Spend, unknown};
use crate::limits::{Epoch, Reservation, Used};
use crate::tenants::Tenant;

/// The gate of one request of a tenant.
pub(super) struct TenantGate {
    spend: Spend,
    tenant: Tenant,
    /// The attempts that were let in and have not ended, by their numbers.
    open: Mutex<HashMap<u32, Open>>,
}

/// An attempt that was let in.
struct Open {
    /// The day that it is booked to.
    day: NaiveDate,
    /// What it has reserved, where anything is limited.
    ticket: Option<Ticket>,
}

impl TenantGate {
    pub(super) fn new(spend: Spend, tenant: Tenant) -> Self {
        Self { spend, tenant, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u32, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Gate for TenantGate {
    async fn admit(&self, plan: &Plan) -> Result<(), LlmError> {
        let day = self.spend.today();
        let ticket = match self.spend.plan(day, &self.tenant, plan)? {
            None => None,
            Some(reservation) => {
                // In a task of its own: a caller that leaves in the middle leaves nothing half reserved. The
                // ticket gives back by itself what nobody takes.
                let (sender, receiver) = oneshot::channel();
                let (spend, tenant) = (self.spend.clone(), self.tenant.clone());
                self.spend.spawn(async move {
                    let _ = sender.send(spend.reserve(&tenant, reservation).await);
                });
                Some(receiver.await.map_err(|_| unknown())??)
            }
        };
        self.open().insert(plan.number, Open { day, ticket });
        Ok(())
    }

    fn settle(&self, attempt: &Attempt) {
        let open = self.open().remove(&attempt.number);
        let (day, ticket) = match open {
            Some(Open { day, ticket }) => (day, ticket),
            None => (self.spend.today(), None),
        };
        // First what was spent, then what is not reserved any more.
        self.spend.0.ledger.count(Account::of(day, &self.tenant, attempt), attempt);
        if let Some(ticket) = ticket {
            // What nobody knows the price of stays spent as it was reserved.
            let amount = self.spend.0.policy.counts.of(&attempt.cost).map_or(ticket.amount(), Usd::nanos);
            let tokens = attempt.usage.map_or(0, |usage| usage.input.saturating_add(usage.output));
            ticket.settle(Used { amount, tokens });
        }
    }
}

/// A reservation that was made. What is not settled when it is dropped is given back whole: nobody was
/// called for it.
pub(super) struct Ticket {
    spend: Spend,
    tenant: Tenant,
    /// Absent once settled.
    reservation: Option<Reservation>,
    epoch: Epoch,
    /// Whether it was counted where it should be.
    online: bool,
}

impl Ticket {
    pub(super) const fn new(
        spend: Spend,
        tenant: Tenant,
        reservation: Reservation,
        epoch: Epoch,
        online: bool,
    ) -> Self {
        Self { spend, tenant, reservation: Some(reservation), epoch, online }
    }

    fn amount(&self) -> u64 {
        self.reservation.as_ref().map_or(0, |reservation| reservation.amount)
    }

    fn settle(mut self, used: Used) {
        self.give_back(used);
    }

    fn give_back(&mut self, used: Used) {
        let Some(reservation) = self.reservation.take() else { return };
        let Self { spend, tenant, epoch, online, .. } = self;
        if *online {
            spend.0.ledger.release(reservation.day, tenant, reservation.amount);
            spend.settle(reservation, Some(epoch.clone()), used);
        } else {
            let this = spend.clone();
            spend.spawn(async move {
                // It is this process that counts: nothing can fail.
                let _ = this.0.counters.offline.settle(&reservation, None, used).await;
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back(Used::default());
    }
}
