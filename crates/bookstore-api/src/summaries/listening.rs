//! Listening to a summary while it is made.
//!
//! A listener shares the call of all who ask for the same, hears it from its beginning and at its own
//! pace, and ends it when it is the last to go away. What it hears may begin anew: then an attempt broke
//! off and another answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt};
use llm::{Delivery, ProviderName};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::call::Shared;
use super::progress::{Progress, Said};
use super::{Answer, Asked, LEFT, Sharing, Source, Summaries};
use crate::catalog::UseCaseError;
use crate::flight::Watched;
use crate::providers::Route;
use crate::store::StoreError;

/// What a listener hears.
#[derive(Debug)]
pub enum Heard {
    /// An answer begins; text before it is void.
    Started {
        /// Who answers.
        provider: String,
        /// The model asked.
        model: String,
        /// Which attempt; none where the summary was there already.
        attempt: Option<u32>,
    },
    /// Text that goes on from the one before.
    Delta(String),
    /// The whole answer, checked. The last thing heard.
    Completed(Box<Answer>),
    /// It came to nothing after all. The last thing heard.
    Failed(UseCaseError),
}

impl Summaries {
    /// Listens to the summary of a book: any fresh one, or that of a provider; with `refresh` always a
    /// new one. Answers as soon as there is text, so that what fails before is an error and no stream.
    /// Dropping the stream is going away.
    ///
    /// # Errors
    /// As [`Summaries::summary`], as long as there is no text.
    pub async fn listen(
        &self,
        asked: Asked,
    ) -> Result<impl Stream<Item = Heard> + Send + 'static, UseCaseError> {
        let route = self.route(&asked)?;
        let mut ahead = Vec::new();
        let mut listener = Listener {
            summaries: self.clone(),
            asked,
            route,
            started: Instant::now(),
            sharing: Sharing::WithAll,
            listened: None,
            next: VecDeque::new(),
            ended: false,
        };
        while let Some(heard) = listener.next().await {
            if let Heard::Failed(error) = heard {
                return Err(error);
            }
            let is_more = !matches!(heard, Heard::Started { .. });
            ahead.push(heard);
            if is_more {
                break;
            }
        }
        let rest = futures::stream::unfold(listener, |mut listener| async move {
            let heard = listener.next().await?;
            Some((heard, listener))
        });
        Ok(futures::stream::iter(ahead).chain(rest))
    }
}

struct Listener {
    summaries: Summaries,
    asked: Asked,
    route: Route,
    started: Instant,
    sharing: Sharing,
    listened: Option<Listened>,
    /// What is certain to be heard next.
    next: VecDeque<Heard>,
    ended: bool,
}

/// A call that is listened to.
struct Listened {
    said: watch::Receiver<Said>,
    /// Drives the call, so that it gets on however slowly this listener takes what it hears.
    call: JoinHandle<Option<Shared>>,
    /// Ends the driving, and with the last of all drivers and waiters the call.
    _going_away: DropGuard,
    /// The call's own, as long as it is listened to.
    _progress: Arc<Progress>,
    /// The answer that was heard last, and how much of it.
    answer: u32,
    heard: usize,
    result: Option<Shared>,
    /// Whether the call was driven to its end.
    driven: bool,
}

impl Listened {
    fn new(summaries: &Summaries, (call, progress): Watched<Shared, Progress>) -> Self {
        let away = CancellationToken::new();
        let drive = {
            let away = away.clone();
            async move { away.run_until_cancelled_owned(call).await }
        };
        Self {
            said: progress.follow(),
            call: summaries.writes.spawn(drive.in_current_span()),
            _going_away: away.drop_guard(),
            _progress: progress,
            answer: 0,
            heard: 0,
            result: None,
            driven: false,
        }
    }

    /// What was said and not heard yet.
    fn unheard(&mut self) -> Option<Heard> {
        let said = self.said.borrow_and_update();
        if said.answer != self.answer {
            self.answer = said.answer;
            self.heard = 0;
            return Some(Heard::Started {
                provider: said.provider.map(ProviderName::as_str).unwrap_or_default().to_owned(),
                model: said.model.clone(),
                attempt: Some(said.attempt),
            });
        }
        let more = said.text.get(self.heard..).filter(|text| !text.is_empty())?.to_owned();
        self.heard += more.len();
        Some(Heard::Delta(more))
    }

    /// Waits until more was said, or the call has ended.
    async fn wait(&mut self) {
        tokio::select! {
            biased;
            Ok(()) = self.said.changed() => {}
            ended = &mut self.call => {
                self.driven = true;
                self.result = ended.ok().flatten();
            }
        }
    }
}

impl Listener {
    /// What is heard next; nothing after the end.
    async fn next(&mut self) -> Option<Heard> {
        if let Some(heard) = self.next.pop_front() {
            return Some(heard);
        }
        if self.ended {
            return None;
        }
        loop {
            let Some(listened) = &mut self.listened else {
                if let Some(heard) = self.begin().await {
                    return Some(heard);
                }
                continue;
            };
            if let Some(heard) = listened.unheard() {
                return Some(heard);
            }
            match listened.result.take() {
                Some(Ok(made)) => {
                    let nothing_heard = listened.answer == 0;
                    let answer = Answer::of(made, &self.route, self.started);
                    return Some(if nothing_heard { self.whole(answer) } else { self.end(Ok(answer)) });
                }
                Some(Err(failed)) => {
                    if listened.heard == 0 && failed.by_limits_of_another(&self.asked.tenant) {
                        self.sharing = Sharing::WithinTenant;
                        self.listened = None;
                        continue;
                    }
                    let error = UseCaseError::from(failed.as_ref());
                    return Some(self.end(Err(error)));
                }
                None if listened.driven => {
                    // Its task was ended before it: the process is stopping.
                    let error = StoreError::Unavailable("the call was ended".to_owned());
                    return Some(self.end(Err(error.into())));
                }
                None => listened.wait().await,
            }
        }
    }

    /// Finds the summary, or a call to listen to.
    async fn begin(&mut self) -> Option<Heard> {
        match self.summaries.source(&self.asked, &self.route, Delivery::Streamed, self.sharing).await {
            Ok(Source::There(summary, origin)) => {
                let answer = Answer::free(*summary, origin, &self.route, self.started);
                Some(self.whole(answer))
            }
            Ok(Source::Making(watched)) => {
                self.listened = Some(Listened::new(&self.summaries, watched));
                None
            }
            Err(error) => Some(self.end(Err(error))),
        }
    }

    /// An answer of which nothing was heard while it was made.
    fn whole(&mut self, answer: Answer) -> Heard {
        let started = Heard::Started {
            provider: answer.summary.provider.clone(),
            model: answer.summary.requested_model.clone(),
            attempt: None,
        };
        self.next.push_back(Heard::Delta(answer.summary.text.clone()));
        let completed = self.end(Ok(answer));
        self.next.push_back(completed);
        started
    }

    fn end(&mut self, result: Result<Answer, UseCaseError>) -> Heard {
        self.ended = true;
        self.listened = None;
        self.summaries.count(&self.route, &result);
        match result {
            Ok(answer) => Heard::Completed(Box::new(answer)),
            Err(error) => Heard::Failed(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.ended {
            self.summaries.metrics.summary(self.route.provider.as_str(), LEFT);
        }
    }
}
