//! Claims of idempotency keys, and job documents.

use bookstore_api::store::{BooksOfDeleted, Claim, ClaimOutcome, Claimed, Expected, Settled, Store};
use chrono::{Duration, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{author, create, delete, draft};

fn claim(key: &str, hash: &str) -> Claim {
    Claim {
        key: key.to_owned(),
        request_hash: hash.to_owned(),
        resource: Uuid::now_v7(),
        expires_at: Utc::now() + Duration::hours(24),
    }
}

pub async fn a_key_belongs_to_its_first_request(store: impl Store + 'static) {
    let first = claim("a", "x");
    let open = Claimed::Open { resource: first.resource };
    assert_eq!(store.claim(first.clone()).await.unwrap(), open);
    assert_eq!(store.claim(claim("a", "x")).await.unwrap(), open, "repeated: the same resource");
    assert_eq!(store.claim(claim("a", "y")).await.unwrap(), Claimed::OtherRequest);
    let other = claim("b", "y");
    assert_eq!(store.claim(other.clone()).await.unwrap(), Claimed::Open { resource: other.resource });

    let book = create(&store, draft("Moby-Dick")).await;
    let outcome = ClaimOutcome::Book(book);
    assert_eq!(store.settle("a", &outcome).await.unwrap(), Settled::Done);
    assert_eq!(store.settle("a", &ClaimOutcome::IsbnTaken).await.unwrap(), Settled::Done);
    assert_eq!(
        store.claim(claim("a", "x")).await.unwrap(),
        Claimed::Settled(Box::new(outcome)),
        "the first stands"
    );
    assert_eq!(store.claim(claim("a", "y")).await.unwrap(), Claimed::OtherRequest);
    let refused = ClaimOutcome::UnknownAuthor(Uuid::now_v7());
    assert_eq!(store.settle("b", &refused).await.unwrap(), Settled::Done);
    assert_eq!(store.claim(claim("b", "y")).await.unwrap(), Claimed::Settled(Box::new(refused)));
}

pub async fn many_claims_of_a_key_at_once_open_one_resource(store: impl Store + 'static) {
    let store = std::sync::Arc::new(store);
    let mut claims = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        claims.spawn(async move { store.claim(claim("key", "x")).await.unwrap() });
    }
    let claimed = claims.join_all().await;
    assert!(matches!(claimed[0], Claimed::Open { .. }));
    assert!(claimed.iter().all(|other| *other == claimed[0]), "{claimed:?}");
}

pub async fn a_claim_ends(store: impl Store + 'static) {
    let ended = Claim { expires_at: Utc::now() - Duration::seconds(1), ..claim("a", "x") };
    store.claim(ended.clone()).await.unwrap();
    let next = claim("a", "y");
    assert_eq!(store.claim(next.clone()).await.unwrap(), Claimed::Open { resource: next.resource });
    store.claim(Claim { key: "b".to_owned(), ..ended }).await.unwrap();
    store.keep_job(Uuid::now_v7(), "{}".to_owned(), Utc::now() - Duration::seconds(1)).await.unwrap();
    assert_eq!(store.check().await.unwrap().claims, 2);
    store.tend().await.unwrap();
    assert_eq!(store.check().await.unwrap().claims, 1);
}

pub async fn what_was_claimed_and_deleted_is_not_made_again(store: impl Store + 'static) {
    let claim = claim("a", "x");
    let Claimed::Open { resource } = store.claim(claim.clone()).await.unwrap() else { panic!() };
    let book = store.create_book(resource, draft("Moby-Dick")).await.unwrap().item;
    // Its maker died before it could settle; somebody deletes the book, then the request is repeated.
    assert!(delete(&store, resource).await);
    let outcome = ClaimOutcome::Book(book.clone());
    assert_eq!(store.claim(claim.clone()).await.unwrap(), Claimed::Settled(Box::new(outcome.clone())));
    // One that had read the claim before has made it anew, and hears of it.
    assert_eq!(store.settle("a", &outcome).await.unwrap(), Settled::ResourceDeleted);

    let named = author(&store, "Herman Melville").await;
    let theirs = Claim { key: "b".to_owned(), resource: named.id, ..claim };
    store.claim(theirs.clone()).await.unwrap();
    store.delete_author(named.id, Expected::Any, BooksOfDeleted::Refuse).await.unwrap();
    assert_eq!(store.claim(theirs).await.unwrap(), Claimed::Settled(Box::new(ClaimOutcome::Author(named))));
}

pub async fn a_job_is_there_for_whoever_asks(store: impl Store + 'static) {
    let id = Uuid::now_v7();
    assert_eq!(store.job(id).await.unwrap(), None);
    let later = Utc::now() + Duration::hours(1);
    store.keep_job(id, "{\"rows\":1}".to_owned(), later).await.unwrap();
    store.keep_job(id, "{\"rows\":2}".to_owned(), later).await.unwrap();
    store.tend().await.unwrap();
    assert_eq!(store.job(id).await.unwrap().as_deref(), Some("{\"rows\":2}"));
    store.keep_job(id, String::new(), Utc::now() - Duration::seconds(1)).await.unwrap();
    store.tend().await.unwrap();
    assert_eq!(store.job(id).await.unwrap(), None);
}
