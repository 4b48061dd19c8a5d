//! An answer as it comes: frames in, chunks out, by what a protocol makes of each frame.
//!
//! Owns what holds of every answer: it opens with its beginning, closes with its end, has text, is
//! bounded, names a model, and a failure says whose it was and what was used up. Must not know a provider's JSON.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde::de::{Deserialize, Deserializer};
use tokio::time::timeout;

use crate::{Beginning, Chunk, CompletionStream, Ending, ErrorKind, LlmError, StopReason, TokenUsage};

/// Bytes of text of an answer at most.
const LONGEST_ANSWER: usize = 16 << 20;
/// How long the end of a body is waited for after the last frame. Its connection can then be used
/// again; it has come by then nearly always.
const LINGER: Duration = Duration::from_millis(5);
/// Longest name of a model that is kept.
const LONGEST_NAME: usize = 200;
/// A count of tokens above this is none.
const MOST_TOKENS: u64 = 1 << 40;

/// What a protocol makes of frames, one after the other. They are text, unless a library reads it.
pub(crate) trait Reader<F: ?Sized = str>: Send + 'static {
    /// What a frame says.
    fn read(&mut self, frame: &F, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError>;

    /// The provider's own figures, once they are final.
    fn usage(&self) -> Option<TokenUsage>;
}

struct Answer<R, O> {
    who: &'static str,
    requested_model: String,
    request_id: Option<String>,
    frames: BoxStream<'static, Result<O, LlmError>>,
    reader: R,
    chunks: VecDeque<Chunk>,
    length: usize,
}

/// An answer of `who`.
pub(crate) fn answer<F: ?Sized + 'static, O: Borrow<F> + Send + 'static>(
    who: &'static str,
    beginning: Beginning,
    frames: BoxStream<'static, Result<O, LlmError>>,
    reader: impl Reader<F>,
) -> CompletionStream {
    let (requested_model, request_id) = (beginning.requested_model.clone(), beginning.request_id.clone());
    let chunks = VecDeque::from([Chunk::Begun(beginning)]);
    let answer = Answer { who, requested_model, request_id, frames, reader, chunks, length: 0 };
    futures::stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        match answer.next::<F>().await {
            Ok(chunk @ Chunk::End(_)) => Some((Ok(chunk), None)),
            Ok(chunk) => Some((Ok(chunk), Some(answer))),
            Err(error) => Some((Err(answer.completed::<F>(error)), None)),
        }
    })
    .boxed()
}

impl<R, O> Answer<R, O> {
    async fn next<F: ?Sized>(&mut self) -> Result<Chunk, LlmError>
    where
        R: Reader<F>,
        O: Borrow<F>,
    {
        loop {
            match self.chunks.pop_front() {
                Some(Chunk::Text(text)) if text.is_empty() => {}
                Some(Chunk::Text(text)) => {
                    self.length += text.len();
                    if self.length > LONGEST_ANSWER {
                        return Err(self.bad("sent an answer without end"));
                    }
                    return Ok(Chunk::Text(text));
                }
                Some(Chunk::End(mut ending)) => {
                    if self.length == 0 {
                        return Err(self.silent(&ending));
                    }
                    if !is_name(&ending.model) {
                        ending.model.clone_from(&self.requested_model);
                    }
                    let _ = timeout(LINGER, self.frames.next()).await;
                    return Ok(Chunk::End(ending));
                }
                Some(chunk @ Chunk::Begun(_)) => return Ok(chunk),
                None => match self.frames.next().await {
                    Some(frame) => self.reader.read(frame?.borrow(), &mut self.chunks)?,
                    None => return Err(self.bad("ended its answer before it was complete; ask again")),
                },
            }
        }
    }

    fn bad(&self, what: &str) -> LlmError {
        LlmError::new(ErrorKind::BadAnswer, format!("{} {what}", self.who))
    }

    /// A model that thought until no token was left did what it was asked: the same question gets the
    /// same answer there, and only whoever set the bound can change that. (`OpenAI` answers 400 itself
    /// where it notices.)
    fn silent(&self, ending: &Ending) -> LlmError {
        let (kind, what) = match ending.stop {
            StopReason::MaxTokens => (
                ErrorKind::BadRequest,
                "used all its tokens and said nothing; a longer answer must be allowed, or a model asked \
                 that thinks less",
            ),
            StopReason::End | StopReason::Other => (ErrorKind::BadAnswer, "answered without text"),
        };
        LlmError::new(kind, format!("{} {what}", self.who)).with_usage(ending.usage)
    }

    /// An error with all that is known of the call.
    fn completed<F: ?Sized>(&self, mut error: LlmError) -> LlmError
    where
        R: Reader<F>,
    {
        if error.usage.is_none() {
            error = error.with_usage(self.reader.usage());
        }
        if error.request_id.is_none() {
            error = error.with_request_id(self.request_id.clone());
        }
        error
    }
}

/// Whether a model can have this name. It is what a server says, and gets into answers, the store and
/// spans.
fn is_name(model: &str) -> bool {
    !model.trim().is_empty() && model.len() <= LONGEST_NAME && !model.chars().any(char::is_control)
}

/// A frame that is not its protocol's JSON. What it says is not repeated: it can be anything.
pub(crate) fn malformed(who: &str, error: &serde_json::Error) -> LlmError {
    let (line, column) = (error.line(), error.column());
    let detail = format!("{who} answered something that is not its protocol's JSON ({line}:{column})");
    LlmError::new(ErrorKind::BadAnswer, detail)
}

/// A count of tokens; absent where there is none that can be one: a good answer is not thrown away
/// for its figures.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| value.as_u64()).filter(|count| *count <= MOST_TOKENS))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::StreamExt;

    use super::{LONGEST_ANSWER, LONGEST_NAME, Reader, answer, is_name};
    use crate::{Beginning, Chunk, Cost, Ending, ErrorKind, LlmError, ProviderName, StopReason, TokenUsage};

    /// Frames are the text; an empty one is the end, a full stop the end of all tokens.
    struct Plain;

    impl Reader for Plain {
        fn read(&mut self, frame: &str, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
            let stop = if frame == "." { StopReason::MaxTokens } else { StopReason::End };
            let text = frame.trim_end_matches('.');
            chunks.push_back(Chunk::Text(text.to_owned()));
            if text.is_empty() {
                chunks.push_back(Chunk::End(Ending {
                    model: String::new(),
                    usage: None,
                    stop,
                    cost: Cost::UNKNOWN,
                }));
            }
            Ok(())
        }

        fn usage(&self) -> Option<TokenUsage> {
            Some(TokenUsage { input: 1, ..TokenUsage::default() })
        }
    }

    async fn ask(frames: Vec<&str>) -> Vec<Result<Chunk, LlmError>> {
        let beginning = Beginning {
            provider: ProviderName::Claude,
            requested_model: "asked".to_owned(),
            request_id: Some("req_1".to_owned()),
            simulated: false,
        };
        let frames: Vec<_> = frames.into_iter().map(|frame| Ok(frame.to_owned())).collect();
        answer("X", beginning, futures::stream::iter(frames).boxed(), Plain).collect().await
    }

    #[tokio::test]
    async fn an_answer_has_a_beginning_text_and_an_end_and_nothing_after() {
        let said = ask(vec!["a", "b", "", "c"]).await;
        assert_eq!(said.len(), 4);
        assert!(matches!(&said[0], Ok(Chunk::Begun(_))));
        assert!(matches!(&said[3], Ok(Chunk::End(ending)) if ending.model == "asked"), "{said:?}");
    }

    #[test]
    fn names_of_models_are_short_and_printable() {
        let longest = "a".repeat(LONGEST_NAME);
        for name in ["llama3.2", "openai/gpt-oss 20b", "模型", &longest] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", " ", "a\n", "\u{1b}[31m", "a\u{85}", &format!("{longest}a")] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[tokio::test]
    async fn tokens_that_were_all_used_for_nothing_are_for_whoever_set_the_bound() {
        let said = ask(vec!["."]).await;
        let error = said.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{error}");
        assert!(error.detail.contains("a longer answer must be allowed"), "{error}");
        assert_eq!(error.usage.as_deref().map(|usage| usage.input), Some(1), "it is paid for");
        assert!(ask(vec!["a", "."]).await.iter().all(Result::is_ok), "a text that was cut is one");
    }

    #[tokio::test]
    async fn no_end_no_text_and_too_much_text_are_bad_answers_with_what_is_known() {
        let long = "a".repeat(LONGEST_ANSWER / 2 + 1);
        for frames in [vec!["a"], vec![""], vec![], vec![&long, &long, ""]] {
            let said = ask(frames).await;
            let error = said.last().unwrap().as_ref().unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadAnswer);
            assert_eq!(error.request_id.as_deref(), Some("req_1"));
            assert_eq!(error.usage.as_deref().map(|usage| usage.input), Some(1));
        }
    }
}
