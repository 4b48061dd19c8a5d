//! An answer handed over in time, with the trouble that was asked for, and what is recorded of it.
//!
//! Owns the clock of an answer: each chunk against its own deadline, counted from the request, so
//! that late wake-ups do not add up. Records the answer when it is finished or dropped, so that a
//! client that leaves is counted and nothing goes on without it. Must not know a wire protocol.
//!
//! What an answer tells of its own timing is what was drawn, not what a clock says: the same
//! question has the same answer, byte for byte.

use std::time::{Duration, Instant};

use telemetry::Metrics;

use self::record::Record;
use crate::answer::{Answer, Stop, Timing, Usage};
use crate::call::Call;
use crate::clock;
use crate::failure::{Failure, Trouble};
use crate::simulator::Place;

mod record;

pub use record::Refusing;

/// The part of the time to the first token that counts as loading the model, at most: it is in
/// memory already.
const LOAD: Duration = Duration::from_millis(1);

/// An answer on its way.
pub struct Delivery {
    answer: Answer,
    trouble: Option<Trouble>,
    started: Instant,
    /// How many chunks were handed over.
    handed: usize,
    record: Record,
    /// Under way until dropped.
    _place: Place,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A chunk of the text.
    Chunk(&'a str),
    /// A chunk that is to arrive as something that cannot be read.
    Malformed(&'a str),
    /// The provider says in the stream that it failed; nothing follows.
    Failed(&'a Failure),
    /// The end; nothing follows.
    End,
    /// The connection is closed without an end; nothing follows.
    Cut,
    /// The connection is reset; nothing follows.
    Reset,
}

/// What an answer says of itself at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its tokens, or what it is to tell in their place.
    pub usage: Usage,
    /// Why it ends.
    pub stop: Stop,
    /// How long it took, by the drawn schedule.
    pub timing: Timing,
}

impl Ending {
    /// The part of the time to the first token that counts as loading the model; the rest is
    /// reading the prompt.
    #[must_use]
    pub fn load(&self) -> Duration {
        LOAD.min(self.timing.first_token / 10)
    }
}

impl Delivery {
    /// Starts the clock. `model` is what the answer counts as in metrics, `injected` whether the
    /// trouble is a fault on purpose.
    #[must_use]
    pub fn start(
        answer: Answer,
        trouble: Option<Trouble>,
        call: &Call,
        model: &str,
        injected: bool,
        place: Place,
        metrics: Metrics,
    ) -> Self {
        let answer = match trouble {
            Some(Trouble::Refusal) => answer.refused(),
            Some(Trouble::Truncated { after }) => answer.truncated(after),
            _ => answer,
        };
        let mut record = Record::start(metrics, call.protocol.as_str(), model, injected);
        record.usage = Usage { output_tokens: 0, ..answer.usage() };
        Self { answer, trouble, started: record.started, handed: 0, record, _place: place }
    }

    /// What is delivered.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// What is to go wrong.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Waits for the first token, or for the end where there is none.
    pub async fn first(&mut self) {
        if self.record.first_token.is_none() {
            let due = self.answer.timing().first_token + self.held_up(0);
            self.until(due).await;
            self.record.first_token = Some(self.started.elapsed());
        }
    }

    /// Waits for what happens next.
    pub async fn step(&mut self) -> Step<'_> {
        self.first().await;
        let index = self.handed;
        if self.breaks_off() {
            self.record.failed();
            return match &self.trouble {
                Some(Trouble::StreamError { failure, .. }) => Step::Failed(failure),
                Some(Trouble::Reset { .. }) => Step::Reset,
                _ => Step::Cut,
            };
        }
        let Some((_, due)) = self.answer.chunk(index) else {
            self.until(self.answer.timing().whole + self.held_up(index)).await;
            return Step::End;
        };
        self.until(due + self.held_up(index)).await;
        self.handed += 1;
        let chunks = self.answer.chunks() as u64;
        self.record.usage.output_tokens =
            self.answer.usage().output_tokens.saturating_mul(self.handed as u64) / chunks.max(1);
        let malformed = matches!(self.trouble, Some(Trouble::Malformed { after }) if index == after.min(self.answer.chunks() - 1));
        match self.answer.chunk(index) {
            Some((text, _)) if malformed => {
                self.record.failed();
                Step::Malformed(text)
            }
            Some((text, _)) => Step::Chunk(text),
            None => Step::End,
        }
    }

    /// Waits until everything is due, as an answer that comes whole does.
    pub async fn whole(&mut self) -> Step<'static> {
        self.first().await;
        self.until(self.answer.timing().whole + self.held_up(usize::MAX)).await;
        let step = match self.trouble {
            Some(Trouble::Cut { .. } | Trouble::StreamError { .. }) => Step::Cut,
            Some(Trouble::Reset { .. }) => Step::Reset,
            Some(Trouble::Malformed { .. }) => Step::Malformed(""),
            _ => Step::End,
        };
        // Of half a body its client can count none.
        if matches!(step, Step::End | Step::Malformed(_)) {
            self.record.usage.output_tokens = self.answer.usage().output_tokens;
        }
        if step != Step::End {
            self.record.failed();
        }
        step
    }

    /// Ends the delivery as complete.
    pub fn finish(&mut self) -> Ending {
        if self.trouble.is_some() {
            self.record.failed();
        } else {
            self.record.succeeded();
        }
        self.ending()
    }

    /// What the answer says of itself.
    #[must_use]
    pub fn ending(&self) -> Ending {
        let usage = match self.trouble {
            Some(Trouble::WrongUsage(wrong)) => wrong,
            _ => self.answer.usage(),
        };
        let timing = self.answer.timing();
        let timing = Timing {
            first_token: timing.first_token + self.held_up(0),
            whole: timing.whole + self.held_up(usize::MAX),
        };
        Ending { usage, stop: self.answer.stop().clone(), timing }
    }

    /// Whether nothing follows now but the trouble.
    fn breaks_off(&self) -> bool {
        match self.trouble {
            Some(Trouble::Cut { after } | Trouble::Reset { after } | Trouble::StreamError { after, .. }) => {
                self.reached(after)
            }
            _ => false,
        }
    }

    /// Whether as many chunks were handed over as come before the trouble; an answer too short for
    /// it is hit at its end.
    fn reached(&self, after: usize) -> bool {
        self.handed >= after.min(self.answer.chunks())
    }

    /// How much later than drawn a chunk comes.
    fn held_up(&self, index: usize) -> Duration {
        match self.trouble {
            Some(Trouble::SlowFirstToken(by)) => by,
            Some(Trouble::Stall { after, pause }) if index >= after.min(self.answer.chunks()) => pause,
            _ => Duration::ZERO,
        }
    }

    async fn until(&mut self, due: Duration) {
        if self.started.elapsed() < due {
            clock::sleep_until(self.started + due).await;
        }
        self.record.lateness = self.record.lateness.max(self.started.elapsed().saturating_sub(due));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use telemetry::Metrics;

    use super::{Delivery, Step};
    use crate::call::{Call, Protocol};
    use crate::failure::{Failure, Trouble};
    use crate::models::Models;
    use crate::profile::{Profile, Profiles};
    use crate::question::{Question, Turn};
    use crate::simulator::{Outcome, Simulator};

    fn delivery(metrics: &Metrics, trouble: Option<Trouble>) -> Delivery {
        let profile = Profile::log_normal("test", (20.0, 20.0), (2.0, 2.0), (20.0, 20.0)).unwrap();
        let question = Question {
            model: "llama3.2".to_owned(),
            turns: vec![Turn { role: "user".to_owned(), text: "Dune".to_owned() }],
            max_output_tokens: Some(5),
            ..Question::default()
        };
        let call =
            Call { protocol: Protocol::Ollama, route: "/api/chat", question, stream: true, tenant: None };
        let decision = Simulator::new(1, Profiles::all(profile), Models::new(["llama3.2"])).decide(&call);
        let Outcome::Answer(answer, None) = decision.outcome else { panic!("it answers") };
        Delivery::start(answer, trouble, &call, "llama3.2", true, decision.place, metrics.clone())
    }

    fn shows(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }

    /// The steps until nothing follows.
    async fn steps(delivery: &mut Delivery) -> Vec<&'static str> {
        let mut names = Vec::new();
        loop {
            let name = match delivery.step().await {
                Step::Chunk(_) => "chunk",
                Step::Malformed(_) => "malformed",
                Step::End => "end",
                Step::Cut => "cut",
                Step::Failed(failure) => failure.kind(),
                Step::Reset => "reset",
            };
            names.push(name);
            if !["chunk", "malformed"].contains(&name) {
                return names;
            }
        }
    }

    #[tokio::test]
    async fn chunks_come_no_earlier_than_due() {
        let metrics = Metrics::unregistered();
        let mut delivery = delivery(&metrics, None);
        let started = Instant::now();
        let mut text = String::new();
        while let Step::Chunk(chunk) = delivery.step().await {
            text.push_str(chunk);
        }
        assert!(started.elapsed() >= Duration::from_millis(27), "{:?}", started.elapsed());
        let ending = delivery.finish();
        assert_eq!(text, delivery.answer().text());
        assert_eq!(ending.timing, delivery.answer().timing());
        assert!(ending.load() > Duration::ZERO && ending.load() < ending.timing.first_token);
        drop(delivery);
        shows(&metrics, r#"simulator_answers_total{model="llama3.2",outcome="ok",protocol="ollama"} 1"#);
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 5"#);
        shows(&metrics, r#"simulator_answers_under_way{protocol="ollama"} 0"#);
    }

    #[tokio::test]
    async fn what_is_dropped_counts_as_abandoned_with_what_was_handed_over() {
        let metrics = Metrics::unregistered();
        let mut left = delivery(&metrics, None);
        assert!(matches!(left.step().await, Step::Chunk(_)) && matches!(left.step().await, Step::Chunk(_)));
        drop(left);
        shows(
            &metrics,
            r#"simulator_answers_total{model="llama3.2",outcome="abandoned",protocol="ollama"} 1"#,
        );
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 2"#);
    }

    #[tokio::test]
    async fn a_whole_answer_takes_as_long_as_a_streamed_one() {
        let metrics = Metrics::unregistered();
        let mut whole = delivery(&metrics, None);
        let started = Instant::now();
        assert_eq!(whole.whole().await, Step::End);
        assert!(started.elapsed() >= Duration::from_millis(27));
        whole.finish();
        drop(whole);
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 5"#);
    }

    #[tokio::test]
    async fn of_a_whole_answer_that_breaks_no_token_was_served() {
        for (trouble, tokens) in [
            (Trouble::Cut { after: 1 }, 0),
            (Trouble::Reset { after: 1 }, 0),
            (Trouble::Malformed { after: 1 }, 5),
        ] {
            let metrics = Metrics::unregistered();
            let mut whole = delivery(&metrics, Some(trouble));
            whole.whole().await;
            drop(whole);
            let served = format!(
                r#"simulator_tokens_total{{model="llama3.2",protocol="ollama",type="output"}} {tokens}"#
            );
            shows(&metrics, &served);
        }
    }

    #[tokio::test]
    async fn trouble_comes_where_it_was_asked_for_and_at_the_end_of_a_shorter_answer() {
        for (trouble, wanted) in [
            (Trouble::Cut { after: 2 }, &["chunk", "chunk", "cut"][..]),
            (Trouble::Cut { after: 0 }, &["cut"]),
            (Trouble::Reset { after: 99 }, &["chunk", "chunk", "chunk", "chunk", "chunk", "reset"]),
            (Trouble::Malformed { after: 1 }, &["chunk", "malformed", "chunk", "chunk", "chunk", "end"]),
            (Trouble::Malformed { after: 99 }, &["chunk", "chunk", "chunk", "chunk", "malformed", "end"]),
            (Trouble::StreamError { after: 1, failure: Failure::Overloaded }, &["chunk", "overloaded"]),
            (Trouble::Truncated { after: 3 }, &["chunk", "chunk", "chunk", "end"]),
            (Trouble::Truncated { after: 99 }, &["chunk", "chunk", "chunk", "chunk", "chunk", "end"]),
            (Trouble::Refusal, &["end"]),
        ] {
            let metrics = Metrics::unregistered();
            let mut delivery = delivery(&metrics, Some(trouble.clone()));
            assert_eq!(steps(&mut delivery).await, wanted, "{trouble:?}");
            delivery.finish();
            drop(delivery);
            shows(
                &metrics,
                r#"simulator_answers_total{model="llama3.2",outcome="fault",protocol="ollama"} 1"#,
            );
        }
    }

    #[tokio::test]
    async fn a_stall_and_a_slow_first_token_take_their_time_and_are_told() {
        let metrics = Metrics::unregistered();
        let pause = Duration::from_millis(60);
        for (trouble, first) in
            [(Trouble::SlowFirstToken(pause), 80), (Trouble::Stall { after: 2, pause }, 20)]
        {
            let mut delivery = delivery(&metrics, Some(trouble));
            let started = Instant::now();
            steps(&mut delivery).await;
            assert!(started.elapsed() >= Duration::from_millis(87));
            assert_eq!(delivery.finish().timing.first_token, Duration::from_millis(first));
        }
    }
}
