//! An answer handed over in time, and what is recorded of it.
//!
//! Owns the clock of an answer: each token against its own deadline, counted from the request, so
//! that late wake-ups do not add up. Records the answer when it is finished or dropped, so that a
//! client that leaves is counted and nothing goes on without it. Must not know a wire protocol.

use std::time::Duration;

use telemetry::Metrics;
use tokio::time::{Instant, sleep_until};

use crate::answer::Answer;

/// An answer on its way.
pub struct Delivery {
    answer: Answer,
    started: Instant,
    /// How many tokens were handed over.
    handed: usize,
    /// When the first token, or the end, came.
    first: Option<Instant>,
    record: Record,
}

/// How long an answer really took. The parts add up to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the end.
    pub total: Duration,
    /// The part that counts as loading the model.
    pub load: Duration,
    /// From there to the first token: reading the prompt.
    pub prompt: Duration,
    /// From the first token to the end.
    pub output: Duration,
}

impl Delivery {
    /// Starts the clock. `protocol` and `model` are the labels under which it is recorded.
    #[must_use]
    pub fn start(answer: Answer, protocol: &'static str, model: &str, metrics: Metrics) -> Self {
        let record = Record {
            metrics,
            protocol,
            model: model.to_owned(),
            input_tokens: answer.input_tokens(),
            output_tokens: 0,
            outcome: "cut",
        };
        Self { answer, started: Instant::now(), handed: 0, first: None, record }
    }

    /// What is delivered.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Waits for the first token, or for the end where there is none.
    pub async fn first(&mut self) {
        if self.first.is_none() {
            sleep_until(self.started + self.answer.schedule().first_token()).await;
            self.first = Some(Instant::now());
        }
    }

    /// The next token when it is due; nothing after the last one.
    pub async fn next(&mut self) -> Option<&str> {
        let (_, due) = self.answer.token(self.handed)?;
        self.first().await;
        sleep_until(self.started + due).await;
        self.handed += 1;
        self.record.output_tokens = self.handed as u64;
        self.answer.token(self.handed - 1).map(|(piece, _)| piece)
    }

    /// Waits until everything is due.
    pub async fn whole(&mut self) {
        self.first().await;
        sleep_until(self.started + self.answer.schedule().whole()).await;
        self.record.output_tokens = self.answer.output_tokens();
    }

    /// Ends the delivery as complete.
    pub fn finish(&mut self) -> Timing {
        self.record.outcome = "ok";
        let now = Instant::now();
        let first = self.first.unwrap_or(now).duration_since(self.started);
        let total = now.duration_since(self.started);
        let load = self.answer.schedule().load().min(first);
        Timing { total, load, prompt: first.saturating_sub(load), output: total.saturating_sub(first) }
    }
}

/// Records once, when dropped.
struct Record {
    metrics: Metrics,
    protocol: &'static str,
    model: String,
    input_tokens: u64,
    /// Tokens handed to the client; a whole answer that was cut before its end had none.
    output_tokens: u64,
    outcome: &'static str,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.simulator_answer(
            self.protocol,
            &self.model,
            self.outcome,
            self.input_tokens,
            self.output_tokens,
        );
    }
}

#[cfg(test)]
mod tests {
    use statistics::LogNormal;
    use telemetry::Metrics;

    use super::Delivery;
    use crate::answer::Answer;
    use crate::profile::{Delay, Profile};
    use crate::question::{Question, Turn};

    fn delivery(metrics: &Metrics) -> Delivery {
        let question = Question {
            turns: vec![Turn { role: "user".to_owned(), text: "Dune".to_owned() }],
            max_output_tokens: Some(5),
            ..Question::default()
        };
        let profile = Profile {
            source: "test".to_owned(),
            first_token: Delay::from_median_and_p95(20.0, 20.0).unwrap(),
            gap: Delay::from_median_and_p95(2.0, 2.0).unwrap(),
            output_tokens: LogNormal::from_median_and_p95(20.0, 20.0).unwrap(),
            error_rate: 0.0,
        };
        let answer = Answer::draw(&question, &question.fingerprint(1), &profile);
        Delivery::start(answer, "ollama", "llama3.2", metrics.clone())
    }

    fn shows(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }

    #[tokio::test]
    async fn tokens_come_no_earlier_than_due_and_the_parts_add_up() {
        let metrics = Metrics::unregistered();
        let mut delivery = delivery(&metrics);
        let mut text = String::new();
        while let Some(piece) = delivery.next().await {
            text.push_str(piece);
        }
        let timing = delivery.finish();
        assert_eq!(text, delivery.answer().text());
        assert!(timing.total >= delivery.answer().schedule().whole());
        assert!(timing.load + timing.prompt >= delivery.answer().schedule().first_token());
        assert_eq!(timing.load + timing.prompt + timing.output, timing.total);
        drop(delivery);
        shows(&metrics, r#"simulator_answers_total{model="llama3.2",outcome="ok",protocol="ollama"} 1"#);
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 5"#);
    }

    #[tokio::test]
    async fn what_is_dropped_counts_as_cut_with_what_was_handed_over() {
        let metrics = Metrics::unregistered();
        let mut cut = delivery(&metrics);
        assert!(cut.next().await.is_some() && cut.next().await.is_some());
        drop(cut);
        shows(&metrics, r#"simulator_answers_total{model="llama3.2",outcome="cut",protocol="ollama"} 1"#);
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 2"#);
    }

    #[tokio::test]
    async fn a_whole_answer_takes_as_long_as_a_streamed_one() {
        let metrics = Metrics::unregistered();
        let mut whole = delivery(&metrics);
        whole.whole().await;
        assert!(whole.finish().total >= whole.answer().schedule().whole());
        drop(whole);
        shows(&metrics, r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 5"#);
    }
}
