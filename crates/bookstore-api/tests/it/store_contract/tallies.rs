//! What a store keeps of what each process has counted.

use bookstore_api::store::{Store, Tally};
use chrono::{DateTime, Duration, SubsecRound, Utc};
use uuid::Uuid;

fn later() -> DateTime<Utc> {
    (Utc::now() + Duration::hours(1)).trunc_subsecs(3)
}

fn tally(key: &str, writer: Uuid, serial: u64, document: &str) -> Tally {
    Tally { key: key.to_owned(), writer, serial, document: document.to_owned(), expires_at: later() }
}

pub async fn totals_are_summed_over_their_writers(store: impl Store + 'static) {
    let [one, other] = [Uuid::now_v7(), Uuid::now_v7()];
    let (day, tenant) = ("spend/2026-11-21/", "spend/2026-11-21/acme/claude/a%2Fb/real");
    assert_eq!(store.tallies(day).await.unwrap(), []);
    let first = tally(tenant, one, 1, "{\"calls\":1}");
    let second = tally(tenant, other, 1, "{\"calls\":7}");
    let neighbours = ["spend/2026-11-21", "spend/2026-11-20/x", "spend/2026-11-22/x", "spend/2026-11-210"];
    let mut all: Vec<Tally> = neighbours.iter().map(|key| tally(key, one, 1, "{}")).collect();
    all.extend([second.clone(), first]);
    store.keep_tallies(all).await.unwrap();
    // Again, as after an answer that was lost, and then what came since.
    let first = tally(tenant, one, 2, "{\"calls\":2}");
    for _ in 0..2 {
        store.keep_tallies(vec![first.clone()]).await.unwrap();
    }
    assert_eq!(store.tallies(day).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.tallies("spend/2026-11-21/acme/").await.unwrap(), [first, second]);
    assert_eq!(store.tallies("spend/2026-11-21/acm/").await.unwrap(), []);
    assert_eq!(store.tallies("").await.unwrap().len(), 6);
    store.keep_tallies(Vec::new()).await.unwrap();
}

pub async fn a_total_that_arrives_late_replaces_no_later_one(store: impl Store + 'static) {
    let writer = Uuid::now_v7();
    for (serial, document) in [(5, "5"), (4, "4"), (6, "6"), (1, "1")] {
        store.keep_tallies(vec![tally("late", writer, serial, document)]).await.unwrap();
    }
    let there = store.tallies("late").await.unwrap();
    assert_eq!(there.iter().map(|tally| (tally.serial, &*tally.document)).collect::<Vec<_>>(), [(6, "6")]);
}

pub async fn a_total_goes_when_it_has_expired(store: impl Store + 'static) {
    let writer = Uuid::now_v7();
    let ended = Tally { expires_at: Utc::now() - Duration::seconds(1), ..tally("ended", writer, 1, "1") };
    let kept = tally("kept", writer, 1, "1");
    store.keep_tallies(vec![ended, kept.clone()]).await.unwrap();
    store.tend().await.unwrap();
    assert_eq!(store.tallies("").await.unwrap(), [kept]);
}
