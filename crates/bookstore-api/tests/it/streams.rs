//! `POST /api/v1/books/{id}/generate-summary` as server-sent events.

use futures::future::join_all;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use reqwest::{Method, RequestBuilder, Response};
use rustix::process::Signal;
use serde_json::Value;

use crate::service::{PATIENCE, Service, Start, metric};
use crate::teller::{Call, Teller};
use crate::upstream::Upstream;

/// Sentences that a bookshop could print, enough of them that some are shown before the last has come.
const SENTENCES: [&str; 8] = [
    "A captain hunts a white whale across the oceans of the world. ",
    "His crew follows him, at first for money and later out of fear. ",
    "A young sailor tells the story, and he is the only one who comes home. ",
    "The book is also about work, about faith, and about friendship. ",
    "Its chapters turn from comedy to tragedy and back again. ",
    "The sea is patient, and the captain is not. ",
    "In the end the ship and the whale meet for three days. ",
    "What remains is a voice that remembers.",
];

async fn stage() -> (Teller, Start, Service) {
    let teller = Teller::start().await;
    let start = Start::new(teller.url()).environment("LLM_ATTEMPTS", "1");
    let service = start.serve();
    (teller, start, service)
}

async fn stage_with_tls() -> (Teller, Service) {
    let teller = Teller::start().await;
    let start = Start::new(teller.url()).argument("--tls-self-signed", "true").argument("--https-port", "0");
    (teller, start.serve())
}

fn listen(service: &Service, book: &str, query: &str) -> RequestBuilder {
    let path = format!("/api/v1/books/{book}/generate-summary{query}");
    service.request(Method::POST, &path).header(ACCEPT, "text/event-stream")
}

/// Over HTTP/2, without room for more than the first bytes of an answer until they are read.
async fn listen_without_reading(service: &Service, book: &str) -> RequestBuilder {
    let client = reqwest::Client::builder()
        .http2_initial_stream_window_size(64)
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .unwrap();
    let listening = service.logged(|event| event["message"] == "listening for HTTPS").await;
    let address = listening["address"].as_str().unwrap();
    let url = format!("https://{address}/api/v1/books/{book}/generate-summary");
    client.post(url).version(reqwest::Version::HTTP_2).header(ACCEPT, "text/event-stream")
}

/// What a listener hears.
struct Listener {
    response: Response,
    text: String,
}

impl Listener {
    async fn new(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers().get("content-encoding").is_none());
        Self { response, text: String::new() }
    }

    /// The next event: name and data. None at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let mut lines = event.lines();
                let first = lines.next().unwrap();
                if first.starts_with(':') {
                    continue;
                }
                let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
                assert_eq!(lines.next(), None);
                return Some((
                    first.strip_prefix("event: ").unwrap().to_owned(),
                    serde_json::from_str(data).unwrap(),
                ));
            }
            match tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("nothing comes").unwrap()
            {
                Some(piece) => self.text.push_str(std::str::from_utf8(&piece).unwrap()),
                None => {
                    assert_eq!(self.text, "", "an event was cut off");
                    return None;
                }
            }
        }
    }

    /// The next event, which must have this name.
    async fn expect(&mut self, name: &str) -> Value {
        let (found, data) = self.next().await.unwrap_or_else(|| panic!("the end, and not {name}"));
        assert_eq!(found, name, "{data}");
        data
    }

    /// All events up to the end.
    async fn rest(mut self) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The text of the deltas after the last `started`, and the last event.
fn heard(events: &[(String, Value)]) -> (String, &(String, Value)) {
    let from = events.iter().rposition(|(name, _)| name == "started").map_or(0, |place| place + 1);
    let deltas = events[from..].iter().filter(|(name, _)| name == "delta");
    let text = deltas.map(|(_, data)| data["text"].as_str().unwrap()).collect();
    (text, events.last().unwrap())
}

async fn tell(call: &mut Call, sentences: &[&str]) {
    for sentence in sentences {
        let (head, tail) = sentence.split_at(sentence.len() / 2);
        call.say(head).await;
        call.say(tail).await;
    }
}

/// Tells all sentences.
async fn tell_all(mut call: Call) {
    call.begin().await;
    tell(&mut call, &SENTENCES).await;
    call.end(101, 11).await;
}

#[tokio::test]
async fn listeners_and_others_share_one_call_and_hear_the_same() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let listeners = join_all((0..5).map(|_| Listener::new(listen(&service, &book, ""))));
    let asking = service.summarise(&book, "");
    let telling = async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES).await;
        call.end(101, 11).await;
    };
    let (listeners, whole, ()) = tokio::join!(listeners, asking, telling);
    let whole = whole.expect(200);
    assert_eq!(whole["summary"], SENTENCES.concat());
    let all = join_all(listeners.into_iter().map(Listener::rest)).await;
    let mut paying = usize::from(whole["usage"]["inputTokens"] == 101);
    for events in &all {
        let (text, (name, completed)) = heard(events);
        assert_eq!(name, "completed");
        assert_eq!(text, SENTENCES.concat());
        assert_eq!(completed["summary"], whole["summary"]);
        assert_eq!(completed["generatedAt"], whole["generatedAt"]);
        assert_eq!(completed["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(completed["traceId"].as_str().unwrap().len(), 32);
        paying += usize::from(completed["usage"]["inputTokens"] == 101);
    }
    assert_eq!(paying, 1, "exactly one carries the tokens");
    teller.not_asked().await;
    // And afterwards it is the same for all.
    let cached = service.summarise(&book, "").await.expect(200);
    assert_eq!((&cached["summary"], &cached["cached"]), (&whole["summary"], &Value::Bool(true)));
    let book = service.get(&format!("/api/v1/books/{book}")).await.expect(200);
    assert_eq!(book["summary"], whole["summary"]);
}

#[tokio::test]
async fn text_is_heard_while_it_is_made_and_who_comes_late_hears_all_of_it() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    // Compression would have to wait for more.
    let request = listen(&service, &book, "").header(ACCEPT_ENCODING, "gzip");
    let (mut early, mut call) = tokio::join!(Listener::new(request), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call
    });
    let started = early.expect("started").await;
    assert_eq!(started, serde_json::json!({ "provider": "ollama", "model": "llama3.2", "attempt": 1 }));
    let delta = early.expect("delta").await;
    assert!(SENTENCES.concat().starts_with(delta["text"].as_str().unwrap()), "{delta}");
    let mut late = Listener::new(listen(&service, &book, "")).await;
    assert_eq!(late.expect("started").await, started);
    tell(&mut call, &SENTENCES[6..]).await;
    call.end(101, 11).await;
    let late = late.rest().await;
    assert_eq!(heard(&late).0, SENTENCES.concat());
    let rest = early.rest().await;
    assert_eq!(format!("{}{}", delta["text"].as_str().unwrap(), heard(&rest).0), SENTENCES.concat());
    teller.not_asked().await;
}

#[tokio::test]
async fn a_listener_who_leaves_takes_nothing_from_the_others() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let ((leaving, staying), mut call) = tokio::join!(
        futures::future::join(
            Listener::new(listen(&service, &book, "")),
            Listener::new(listen(&service, &book, ""))
        ),
        async {
            let mut call = teller.asked().await;
            call.begin().await;
            tell(&mut call, &SENTENCES[..6]).await;
            call
        }
    );
    drop(leaving);
    tell(&mut call, &SENTENCES[6..]).await;
    call.end(101, 11).await;
    let events = staying.rest().await;
    let (text, (name, completed)) = heard(&events);
    assert_eq!((name.as_str(), text), ("completed", SENTENCES.concat()));
    assert_eq!(completed["usage"]["inputTokens"], 101);
}

#[tokio::test]
async fn when_the_last_listener_leaves_the_call_ends_and_is_still_counted() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let (listener, call) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call
    });
    drop(listener);
    call.deserted().await;
    let mut counted = None;
    for _ in 0..300 {
        let text = service.get("/metrics").await.text;
        counted =
            metric(&text, "gen_ai_client_operation_duration_seconds_count", &["error_type=\"cancelled\""]);
        if counted.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(counted, Some(1.0), "the call is not counted");
    let left = [r#"outcome="cancelled""#, r#"provider="ollama""#];
    let left = service.metric("bookstore_summaries_total", &left).await;
    assert!((left - 1.0).abs() < 1e-9, "{left} requests were left");
    // Nothing was kept of it.
    let again = listen(&service, &book, "");
    let (listener, ()) = tokio::join!(Listener::new(again), async { tell_all(teller.asked().await).await });
    assert_eq!(heard(&listener.rest().await).0, SENTENCES.concat());
}

#[tokio::test]
async fn an_attempt_that_breaks_off_makes_its_text_void() {
    let mut teller = Teller::start().await;
    let service = Start::new(teller.url()).environment("LLM_ATTEMPTS", "2").serve();
    let book = service.book("Moby-Dick").await;
    let (listener, ()) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &["Something else entirely is said at first, and it goes on. "; 6]).await;
        call.die().await;
        tell_all(teller.asked().await).await;
    });
    let events = listener.rest().await;
    let started: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "started").map(|(_, data)| &data["attempt"]).collect();
    assert_eq!(started, [1, 2]);
    let (text, (name, completed)) = heard(&events);
    assert_eq!((name.as_str(), text), ("completed", SENTENCES.concat()));
    let outcomes: Vec<&Value> =
        completed["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["unavailable", "ok"], "{completed}");
    // The attempt that broke off was not free: what it took is an estimate, and summed in.
    assert_eq!(completed["usage"]["source"], "estimated");
    assert!(completed["usage"]["outputTokens"].as_u64().unwrap() > 11, "{completed}");
    assert_eq!(completed["generation"]["usage"]["outputTokens"], 11);
    assert_eq!(completed["generation"]["usage"]["source"], "reported");
}

#[tokio::test]
async fn what_fails_before_there_is_text_is_a_problem_with_its_status() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let (reply, ()) = tokio::join!(service.send(listen(&service, &book, "")), async {
        teller.asked().await.refuse(503).await;
    });
    let _ = reply.problem(503, "llm_overloaded");
    service
        .send(listen(&service, "0190163d-8694-739b-aea5-966c26f8ad91", ""))
        .await
        .problem(404, "book_not_found");
    service.send(listen(&service, &book, "?provider=nobody")).await.problem(400, "unknown_provider");
    service.send(listen(&service, &book, "?provider=bedrock")).await.problem(400, "provider_not_configured");
}

#[tokio::test]
async fn what_fails_later_ends_the_stream_with_a_problem_and_nothing_is_kept() {
    let (mut teller, _start, service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let (listener, ()) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call.die().await;
    });
    let events = listener.rest().await;
    let (_, (name, problem)) = heard(&events);
    assert_eq!(name, "error", "{problem}");
    assert_eq!((&problem["code"], &problem["status"]), (&"llm_unavailable".into(), &503.into()));
    assert!(problem["retryAfterSeconds"].as_u64().unwrap() > 0, "{problem}");
    assert_eq!(problem["instance"], format!("/api/v1/books/{book}/generate-summary"));
    assert_eq!(problem["traceId"].as_str().unwrap().len(), 32);
    let said = service.logged(|event| event["message"] == "a streamed summary came to nothing").await;
    assert!(said["detail"].as_str().unwrap().contains("attempt 1: ollama llama3.2 unavailable"), "{said}");
    let book = service.get(&format!("/api/v1/books/{book}")).await.expect(200);
    assert_eq!(book.get("summary"), None);
}

#[tokio::test]
async fn an_answer_that_is_not_safe_ends_the_stream_and_is_neither_kept_nor_tried_again() {
    let mut teller = Teller::start().await;
    let service = Start::new(teller.url()).serve();
    let book = service.book("Moby-Dick").await;
    let (listener, ()) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call.say("Look at <script>alert(1)</script> for more. ").await;
        call.deserted().await;
    });
    let events = listener.rest().await;
    let (text, (name, problem)) = heard(&events);
    assert_eq!((name.as_str(), &problem["code"]), ("error", &"unsafe_answer".into()), "{problem}");
    assert!(!text.contains("script") && !text.contains('<'), "{text}");
    teller.not_asked().await;
    let path = format!("/api/v1/books/{book}");
    assert_eq!(service.get(&path).await.expect(200).get("summary"), None);
    // As JSON it is a status.
    let (reply, ()) = tokio::join!(service.summarise(&book, ""), async {
        let mut call = teller.asked().await;
        call.begin().await;
        call.say("Look at <script>alert(1)</script> for more.").await;
        call.deserted().await;
    });
    reply.problem(502, "unsafe_answer");
    teller.not_asked().await;
}

#[tokio::test]
async fn a_summary_that_is_there_is_one_delta() {
    let upstream = Upstream::counting(std::time::Duration::ZERO).await;
    let service = Start::new(&upstream.url()).serve();
    let book = service.book("Moby-Dick").await;
    let made = service.summarise(&book, "").await.expect(200);
    for query in ["", "?provider=ollama"] {
        let mut listener = Listener::new(listen(&service, &book, query)).await;
        let started = listener.expect("started").await;
        assert_eq!(started, serde_json::json!({ "provider": "ollama", "model": "llama3.2" }));
        assert_eq!(listener.expect("delta").await["text"], made["summary"]);
        let completed = listener.expect("completed").await;
        assert_eq!(listener.next().await, None);
        let same = service.summarise(&book, query).await.expect(200);
        for field in ["bookId", "summary", "provider", "model", "usage", "costUsd", "cached", "generation"] {
            assert_eq!(completed[field], same[field], "{field}");
        }
        assert_eq!(completed["usage"]["inputTokens"], 0);
        assert_eq!(completed.get("attempts"), None);
    }
    assert_eq!(upstream.calls().await, 1);
}

#[tokio::test]
async fn who_does_not_read_holds_nobody_up_over_http2() {
    let (mut teller, service) = stage_with_tls().await;
    let book = service.book("Moby-Dick").await;
    let slow = listen_without_reading(&service, &book).await;
    let (slow, call) = tokio::join!(Listener::new(slow), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call
    });
    let mut call = call;
    let quick = Listener::new(listen(&service, &book, "")).await;
    tell(&mut call, &SENTENCES[6..]).await;
    call.end(101, 11).await;
    assert_eq!(heard(&quick.rest().await).0, SENTENCES.concat());
    // It is kept, and the slow one gets all of it when it reads at last.
    assert_eq!(service.summarise(&book, "").await.expect(200)["cached"], true);
    assert_eq!(heard(&slow.rest().await).0, SENTENCES.concat());
}

#[tokio::test]
async fn a_call_gets_on_although_its_only_listener_does_not_read() {
    let (mut teller, service) = stage_with_tls().await;
    let book = service.book("Moby-Dick").await;
    let slow = listen_without_reading(&service, &book).await;
    let (slow, ()) = tokio::join!(Listener::new(slow), async { tell_all(teller.asked().await).await });
    let path = format!("/api/v1/books/{book}");
    let mut kept = Value::Null;
    for _ in 0..300 {
        kept = service.get(&path).await.expect(200);
        if kept.get("summary").is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(kept["summary"], SENTENCES.concat());
    assert_eq!(slow.response.version(), reqwest::Version::HTTP_2);
    let events = slow.rest().await;
    let (text, (name, completed)) = heard(&events);
    assert_eq!((name.as_str(), text), ("completed", SENTENCES.concat()));
    assert_eq!(completed["usage"]["inputTokens"], 101);
}

#[tokio::test]
async fn a_stop_lets_listeners_hear_the_end() {
    let (mut teller, _start, mut service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let (listener, mut call) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call
    });
    service.signal(Signal::TERM);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    tell(&mut call, &SENTENCES[6..]).await;
    call.end(101, 11).await;
    let events = listener.rest().await;
    assert_eq!(heard(&events).1.0, "completed");
    let status = tokio::task::spawn_blocking(move || service.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_an_answer() {
    let (mut teller, _start, mut service) = stage().await;
    let book = service.book("Moby-Dick").await;
    let (listener, call) = tokio::join!(Listener::new(listen(&service, &book, "")), async {
        let mut call = teller.asked().await;
        call.begin().await;
        tell(&mut call, &SENTENCES[..6]).await;
        call
    });
    service.signal(Signal::TERM);
    let status = tokio::task::spawn_blocking(move || service.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    call.deserted().await;
    drop(listener);
}

#[tokio::test]
async fn media_types_that_there_are_not_are_refused_and_other_methods_too() {
    let service = Start::without_provider().serve();
    let book = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{book}/generate-summary?provider=simulated");
    for (accept, status) in
        [("text/html", 406), ("application/json;q=0", 406), ("*/*", 200), ("application/*", 200)]
    {
        let reply = service.send(service.request(Method::POST, &path).header(ACCEPT, accept)).await;
        assert_eq!(reply.status, status, "{accept}: {reply:?}");
        if status == 406 {
            reply.problem(406, "not_acceptable");
        }
    }
    for method in [Method::GET, Method::HEAD] {
        let reply = service.send(service.request(method, &path).header(ACCEPT, "text/event-stream")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    }
}
