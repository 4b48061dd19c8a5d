//! What is kept of a call, and that no secret is among it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::asked::{Asked, Route};
use super::{Head, Recorder};
use crate::recording::{Broken, End, Recording, read};
use crate::settings::{Kept, RecordArguments, Replayed};

/// Secrets of many kinds; the last is known because a client has sent it.
const SECRETS: [&str; 9] = [
    "sk-ant-api03-AAAABBBBCCCCDDDDEEEE-ffffgggg_hhhh",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE9Kk",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-123456789012-abcdefABCDEF",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\n-----END EC PRIVATE KEY-----",
    "correct horse, battery staple",
];

struct Kit {
    _folder: tempfile::TempDir,
    file: PathBuf,
    recorder: Arc<Recorder>,
    writing: tokio::task::JoinHandle<()>,
}

fn kit(requests: Kept, answers: Replayed) -> Kit {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls.jsonl");
    let upstream = "http://127.0.0.1:1".to_owned();
    let arguments = RecordArguments { upstream, output: file.clone(), requests, answers, timeout: 1 };
    let (recorder, writing) = Recorder::start(&arguments, Asked::read).unwrap();
    recorder.redactor().learn(SECRETS[8]);
    Kit { _folder: folder, file, recorder: Arc::new(recorder), writing }
}

impl Kit {
    fn begin(&self, body: &str) -> super::CallUnderWay {
        let route = Route::of("/api/chat").unwrap();
        self.recorder.begin(route, Bytes::from(body.to_owned()), self.recorder.memory().hold(), true)
    }

    /// The file's text and what it says.
    async fn end(self) -> (String, Vec<Recording>) {
        let Self { _folder, file, recorder, writing } = self;
        drop(recorder);
        writing.await.unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let calls = read(&[file], Broken::Refuse).unwrap().calls;
        (text, calls.into_iter().map(|(_, recording)| recording).collect())
    }
}

fn head(status: u16, media: &str) -> Head<'_> {
    Head { status, retry_after_seconds: None, media, encoded: false }
}

fn asked(text: &str) -> String {
    serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string()
}

fn lines(pieces: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = pieces
        .iter()
        .map(|piece| format!("{}\n", serde_json::json!({"message": {"content": piece}, "done": false})))
        .collect();
    lines.push(
        "{\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2}\n".to_owned(),
    );
    lines
}

impl Kit {
    /// Records a streamed answer in these pieces.
    fn streamed(&self, question: &str, pieces: &[&str]) {
        let mut call = self.begin(&asked(question));
        call.head(head(200, "application/x-ndjson"));
        lines(pieces).iter().for_each(|line| call.hear(line.as_bytes()));
        call.complete();
    }
}

/// Records one streamed answer in these pieces.
async fn streamed(requests: Kept, answers: Replayed, question: &str, pieces: &[&str]) -> (String, Recording) {
    let kit = kit(requests, answers);
    kit.streamed(question, pieces);
    let (text, mut calls) = kit.end().await;
    (text, calls.remove(0))
}

fn without_secrets(file: &str) {
    for secret in SECRETS {
        // As it stands in a line of JSON.
        let quoted = serde_json::Value::from(secret).to_string();
        assert!(!file.contains(quoted.trim_matches('"')), "{secret} is in {file}");
        // Nor any longer part of it.
        for part in secret.as_bytes().windows(18) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(
                part.contains("-----") || part.contains('\n') || !file.contains(part),
                "{part} is in {file}"
            );
        }
    }
}

/// Every secret, in a question and in an answer, the answer cut at each of its bytes.
#[tokio::test]
async fn a_secret_cut_anywhere_is_taken_out_whole() {
    let kit = kit(Kept::Whole, Replayed::Whole);
    let answers = SECRETS.map(|secret| format!("Use {secret} now."));
    for answer in &answers {
        for cut in 0..=answer.len() {
            let (one, two) = answer.split_at(cut);
            kit.streamed(answer, &[one, two]);
        }
    }
    let (file, calls) = kit.end().await;
    without_secrets(&file);
    assert_eq!(calls.len(), answers.iter().map(|answer| answer.len() + 1).sum::<usize>());
    for recording in calls {
        assert_eq!(recording.text.as_deref(), Some("Use [removed] now."), "{:?}", recording.chunk_bytes);
        assert_eq!(recording.chunk_bytes.iter().sum::<u64>(), 18);
        assert_eq!(recording.request.conversation.unwrap()[0].text, "Use [removed] now.");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn secrets_in_every_place_never_reach_the_file(
        words in prop::collection::vec("[a-zé ,.\"]{0,12}", 10), cuts in prop::collection::vec(0_usize..700, 0..30),
        status in prop::sample::select(vec![200_u16, 401, 500]), whole in any::<bool>(),
    ) {
        let mut text = String::new();
        for (word, secret) in words.iter().zip(SECRETS) {
            text.push_str(word);
            text.push(' ');
            text.push_str(secret);
            text.push(' ');
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let file = runtime.block_on(async {
            let kit = kit(Kept::Whole, Replayed::Whole);
            let body = serde_json::json!({"model": text, "messages": [{"role": text, "content": text}]});
            let mut call = kit.begin(&body.to_string());
            if status >= 400 || whole {
                call.head(head(status, "application/json"));
                call.hear(serde_json::json!({"message": {"content": text}, "done": true, "error": text}).to_string().as_bytes());
            } else {
                call.head(head(status, "application/x-ndjson"));
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % text.len()).filter(|cut| text.is_char_boundary(*cut)).collect();
                cuts.extend([0, text.len()]);
                cuts.sort_unstable();
                let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
                let lines = lines(&pieces);
                // Broken off somewhere, now and then.
                let heard = if cuts.len().is_multiple_of(3) { lines.len() / 2 } else { lines.len() };
                lines[..heard].iter().for_each(|line| call.hear(line.as_bytes()));
            }
            call.complete();
            kit.begin(&asked("Dune")).broke(End::Unreachable, format!("no way to {text}"));
            kit.end().await.0
        });
        prop_assert_eq!(file.lines().count(), 2);
        for secret in SECRETS {
            let quoted = serde_json::Value::from(secret).to_string();
            prop_assert!(!file.contains(quoted.trim_matches('"')), "{} is in {}", secret, file);
        }
    }
}

#[tokio::test]
async fn a_call_is_kept_with_its_figures() {
    let (_, recording) = streamed(Kept::Hashed, Replayed::Whole, "Dune", &["A book", " of sand."]).await;
    assert!(recording.answered() && recording.stream && recording.request.conversation.is_none());
    assert_eq!((recording.model.as_str(), recording.route.as_str()), ("m", "/api/chat"));
    assert_eq!(recording.chunk_bytes, [6, 9]);
    assert_eq!((recording.concurrency, recording.status, recording.end), (1, 200, End::Complete));
    assert_eq!(recording.usage.unwrap().output_tokens, 2);
    assert!(recording.total_ms >= recording.chunk_ms[1]);
    let (file, recording) = streamed(Kept::Hashed, Replayed::Timing, "Dune", &["A book"]).await;
    assert!(recording.text.is_none() && recording.chunk_bytes == [6] && !file.contains("book"));
}

#[tokio::test]
async fn every_end_is_told_from_the_others() {
    let kit = kit(Kept::Hashed, Replayed::Whole);
    let question = asked("Dune");
    let begun = |lines_heard: usize| {
        let mut call = kit.begin(&question);
        call.head(head(200, "application/x-ndjson"));
        lines(&["a", "b"])[..lines_heard].iter().for_each(|line| call.hear(line.as_bytes()));
        call
    };
    drop(kit.begin(&question));
    drop(begun(1));
    // Its client left with the last event.
    drop(begun(3));
    begun(2).complete();
    begun(3).complete();
    begun(1).broke(End::TimedOut, String::new());
    begun(1).broke(End::Cut, String::new());
    kit.begin(&question).broke(End::Unreachable, "refused".to_owned());
    // What asks nothing is no call.
    drop(kit.begin("{\"model\":\"m\"}"));
    let counts = Arc::clone(kit.recorder.counts());
    let (_, calls) = kit.end().await;
    let ends: Vec<End> = calls.iter().map(|call| call.end).collect();
    let wanted = [
        End::ClientLeft,
        End::ClientLeft,
        End::Complete,
        End::Cut,
        End::Complete,
        End::TimedOut,
        End::Cut,
        End::Unreachable,
    ];
    assert_eq!(ends, wanted);
    assert_eq!((calls[0].status, calls[1].status), (0, 200));
    assert_eq!(calls[7].error.as_ref().unwrap().body, "refused");
    assert_eq!(calls[3].text.as_deref(), Some("ab"));
    let progress = counts.progress();
    assert_eq!((progress.recorded, progress.errors, progress.dropped), (8, 6, 0));
}
