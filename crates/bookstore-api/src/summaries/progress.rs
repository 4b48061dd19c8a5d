//! What a provider call has said so far, for all who listen to it.
//!
//! One buffer a call: whoever listens reads from their own place in it, at their own pace, and holds
//! nobody up. Its size is bounded by the longest answer that is let through.

use llm::{Beginning, ProviderName};
use tokio::sync::watch;

/// The text so far and who says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Which answer this is: one more whenever another attempt begins to answer. 0 before the first.
    pub(super) answer: u32,
    /// The attempt that it comes from.
    pub(super) attempt: u32,
    /// Who says it.
    pub(super) provider: Option<ProviderName>,
    /// The model asked.
    pub(super) model: String,
    /// The text.
    pub(super) text: String,
}

/// A call's progress.
pub(super) struct Progress(watch::Sender<Said>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(Said::default()))
    }
}

impl Progress {
    /// An answer begins: what was said before is void.
    pub(super) fn begin(&self, attempt: u32, beginning: &Beginning) {
        self.0.send_modify(|said| {
            said.answer += 1;
            said.attempt = attempt;
            said.provider = Some(beginning.provider);
            said.model.clone_from(&beginning.requested_model);
            said.text.clear();
        });
    }

    /// The answer goes on.
    pub(super) fn say(&self, text: &str) {
        if !text.is_empty() {
            self.0.send_modify(|said| said.text.push_str(text));
        }
    }

    /// Follows it.
    pub(super) fn follow(&self) -> watch::Receiver<Said> {
        self.0.subscribe()
    }
}
