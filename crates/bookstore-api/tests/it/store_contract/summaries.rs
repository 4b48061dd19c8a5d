//! Summaries: kept for the book they were made from, by the last call that was allowed.

use bookstore_api::book::Book;
use bookstore_api::prompt;
use bookstore_api::store::{Kept, Store, StoredSummary};
use chrono::{DateTime, Utc};

use super::{create, delete, draft, replace};

pub fn summary(book: &Book, provider: &str, text: &str, second: i64) -> StoredSummary {
    StoredSummary {
        book_id: book.id,
        content_hash: book.content_hash(),
        provider: provider.to_owned(),
        requested_model: "llama3.2".to_owned(),
        model: "llama3.2:latest".to_owned(),
        prompt_version: prompt::VERSION.to_owned(),
        text: text.to_owned(),
        simulated: false,
        input_tokens: 101,
        output_tokens: 11,
        cached_input_tokens: 3,
        cache_write_input_tokens: 2,
        reasoning_output_tokens: 1,
        request_id: Some("req_1".to_owned()),
        reported: true,
        cost_usd: Some(0.000_123_456),
        list_cost_usd: None,
        latency_ms: 12.5,
        first_chunk_ms: Some(3.25),
        generated_at: DateTime::<Utc>::from_timestamp(1_700_000_000 + second, 0).unwrap(),
        fence: second.unsigned_abs(),
    }
}

pub async fn a_summary_is_kept_for_the_book_it_was_made_from(store: impl Store + 'static) {
    let book = create(&store, draft("Moby-Dick")).await;
    let find = async |book: &Book, provider: Option<&str>| {
        store.summary(book.id, &book.content_hash(), prompt::VERSION, provider, None).await.unwrap()
    };
    assert_eq!(find(&book, None).await, None);
    let current = async |provider: Option<&str>| {
        store.current_summary(book.id, prompt::VERSION, provider).await.unwrap()
    };
    assert_eq!(current(None).await, None);
    let first = summary(&book, "ollama", "A whale.", 1);
    assert_eq!(store.keep_summary(first.clone()).await.unwrap(), Kept::Kept);
    assert_eq!(find(&book, None).await, Some(first.clone()));
    assert_eq!(find(&book, Some("ollama")).await, Some(first.clone()));
    assert_eq!(find(&book, Some("claude")).await, None);
    assert_eq!(store.summary(book.id, &book.content_hash(), "0", None, None).await.unwrap(), None);

    assert_eq!(current(None).await, Some(first.clone()));
    assert_eq!((current(Some("ollama")).await, current(Some("claude")).await), (Some(first.clone()), None));

    // A second provider overwrites nothing; the latest is what is shown.
    let second = summary(&book, "claude", "A white whale.", 2);
    assert_eq!(store.keep_summary(second.clone()).await.unwrap(), Kept::Kept);
    assert_eq!(
        (find(&book, None).await, find(&book, Some("ollama")).await),
        (Some(second), Some(first.clone()))
    );
    let shown = store.book(book.id).await.unwrap().unwrap();
    assert_eq!((shown.summary.as_deref(), shown.version), (Some("A white whale."), 1));
    let newer = summary(&book, "ollama", "A captain.", 3);
    assert_eq!(store.keep_summary(newer.clone()).await.unwrap(), Kept::Kept);
    assert_eq!(find(&book, Some("ollama")).await, Some(newer));

    // The book changes: what is stored is stale, and what comes late is not kept.
    let edited = replace(&store, book.id, draft("Moby-Dick; or, The Whale")).await;
    assert_eq!((edited.summary.as_ref(), find(&edited, None).await), (None, None));
    assert_eq!(current(None).await, None);
    assert_eq!(store.keep_summary(summary(&book, "ollama", "Late.", 4)).await.unwrap(), Kept::Outdated);
    assert_eq!(store.book(book.id).await.unwrap().unwrap().summary, None);
    // It changes back: what was paid for fits again.
    let back = replace(&store, book.id, draft("Moby-Dick")).await;
    assert_eq!(back.summary.as_deref(), Some("A captain."));

    assert!(delete(&store, book.id).await);
    assert_eq!(find(&book, None).await, None);
    assert_eq!(store.keep_summary(first).await.unwrap(), Kept::Outdated);
}

pub async fn keep(store: &impl Store, book: &Book, provider: &str, text: &str, second: i64) {
    let kept = store.keep_summary(summary(book, provider, text, second)).await.unwrap();
    assert_eq!(kept, Kept::Kept);
}

pub async fn a_summary_never_replaces_one_of_a_later_call(store: impl Store + 'static) {
    let book = create(&store, draft("Moby-Dick")).await;
    let find = async || {
        let found = store.summary(book.id, &book.content_hash(), prompt::VERSION, None, None).await.unwrap();
        found.unwrap().text
    };
    let call = |text: &str, fence: u64| StoredSummary { fence, ..summary(&book, "ollama", text, 0) };
    assert_eq!(store.keep_summary(call("second", 2)).await.unwrap(), Kept::Kept);
    assert_eq!(store.keep_summary(call("first", 1)).await.unwrap(), Kept::Superseded);
    assert_eq!(find().await, "second");
    assert_eq!(store.keep_summary(call("second again", 2)).await.unwrap(), Kept::Kept);
    assert_eq!(store.keep_summary(call("third", 3)).await.unwrap(), Kept::Kept);
    assert_eq!(find().await, "third");
    // Another provider's calls have an order of their own.
    let other = StoredSummary { fence: 1, ..summary(&book, "claude", "other", -9) };
    assert_eq!(store.keep_summary(other).await.unwrap(), Kept::Kept);
    assert_eq!(store.book(book.id).await.unwrap().unwrap().summary.as_deref(), Some("third"));
}
