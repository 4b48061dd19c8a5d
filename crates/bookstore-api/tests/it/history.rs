//! What several instances answered to readers and writers at random, and whether any read was older
//! than a write that had been acknowledged before it began.
//!
//! The order of writes is that of the versions that their answers carry. Between its commit and its
//! acknowledgement a write may be seen by one reader and not by the next: nothing is promised there,
//! and nothing is checked.

use std::time::Instant;

/// One request and its answer.
#[derive(Clone, Debug)]
struct Event {
    /// Which book.
    book: usize,
    /// Whether it wrote.
    wrote: bool,
    /// The version answered.
    version: u64,
    /// The title answered; writers never write one twice.
    title: String,
    began: Instant,
    ended: Instant,
}

/// What is wrong with a history; empty when nothing is.
fn wrongs(history: &[Event]) -> Vec<String> {
    let mut wrongs = Vec::new();
    let books = history.iter().map(|event| event.book + 1).max().unwrap_or(0);
    for book in 0..books {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for event in history.iter().filter(|event| event.book == book) {
            if event.wrote { writes.push(event) } else { reads.push(event) }
        }
        writes.sort_by_key(|write| write.version);
        for pair in writes.windows(2) {
            if pair[0].version == pair[1].version {
                wrongs.push(format!("two writes made one version: {pair:?}"));
            }
            if pair[1].ended < pair[0].began {
                wrongs.push(format!("a write came before one that was acknowledged: {pair:?}"));
            }
        }
        // By the time of acknowledgement, the newest version that had been acknowledged by then.
        let mut acknowledged: Vec<_> = writes.iter().map(|write| (write.ended, write.version)).collect();
        acknowledged.sort_unstable();
        let mut newest = 0;
        for (_, version) in &mut acknowledged {
            newest = newest.max(*version);
            *version = newest;
        }
        for read in reads {
            let before = acknowledged.partition_point(|(ended, _)| *ended < read.began);
            let least = before.checked_sub(1).map_or(0, |last| acknowledged[last].1);
            if read.version < least {
                wrongs.push(format!("version {least} had been acknowledged before {read:?} began"));
            }
            match writes.binary_search_by_key(&read.version, |write| write.version) {
                Ok(found) if writes[found].title != read.title => {
                    wrongs.push(format!("{read:?} does not show what {:?} wrote", writes[found]));
                }
                Ok(found) if writes[found].began > read.ended => {
                    wrongs.push(format!("{read:?} shows what was not written yet: {:?}", writes[found]));
                }
                Err(_) if read.version > 1 => wrongs.push(format!("{read:?} shows what nobody wrote")),
                _ => {}
            }
        }
    }
    wrongs
}

mod checker {
    use std::time::{Duration, Instant};

    use super::{Event, wrongs};

    /// `(wrote, version, began, ended)` on one book.
    fn history(events: &[(bool, u64, u64, u64)]) -> Vec<Event> {
        let zero = Instant::now();
        let at = |milliseconds| zero + Duration::from_millis(milliseconds);
        let event = |&(wrote, version, began, ended): &(bool, u64, u64, u64)| Event {
            book: 0,
            wrote,
            version,
            title: format!("Title {version}"),
            began: at(began),
            ended: at(ended),
        };
        events.iter().map(event).collect()
    }

    #[test]
    fn a_good_history_passes() {
        let good = [
            (true, 2, 0, 10),
            (false, 2, 11, 12),
            // While a write is under way, either may be seen, in any order.
            (true, 3, 20, 30),
            (false, 3, 22, 23),
            (false, 2, 24, 25),
            (false, 3, 31, 32),
            // Two at once; the later answer carries the earlier version.
            (true, 5, 40, 50),
            (true, 4, 41, 60),
            (false, 5, 61, 62),
        ];
        assert_eq!(wrongs(&history(&good)), [""; 0]);
        assert_eq!(wrongs(&[]), [""; 0]);
    }

    #[test]
    fn bad_histories_do_not() {
        let stale = [(true, 2, 0, 10), (true, 3, 20, 30), (false, 2, 31, 32)];
        let staler = [(true, 2, 0, 10), (false, 1, 11, 12)];
        // Stale although the write that was acknowledged last is older than the one before it.
        let crossed = [(true, 5, 40, 50), (true, 4, 41, 60), (false, 4, 61, 62)];
        let lost = [(true, 2, 0, 10), (true, 2, 20, 30)];
        let backwards = [(true, 3, 0, 10), (true, 2, 20, 30)];
        let early = [(false, 2, 0, 10), (true, 2, 20, 30)];
        let invented = [(true, 2, 0, 10), (false, 7, 20, 30)];
        for bad in
            [&stale[..], &staler[..], &crossed[..], &lost[..], &backwards[..], &early[..], &invented[..]]
        {
            assert_eq!(wrongs(&history(bad)).len(), 1, "{bad:?}");
        }
        let mut mixed = history(&[(true, 2, 0, 10), (false, 2, 20, 30)]);
        mixed[1].title = "Another".to_owned();
        assert_eq!(wrongs(&mixed).len(), 1);
    }
}

#[cfg(feature = "integration")]
mod instances {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use rand::RngExt;
    use serde_json::json;
    use tokio::task::JoinSet;

    use super::{Event, wrongs};
    use crate::instances::Store;
    use crate::mongo_server::Scratch;
    use crate::servers::redis_url;
    use crate::service::{Service, Start};

    const BOOKS: usize = 4;
    const CLIENTS: usize = 16;
    /// Of a hundred requests.
    const WRITES: u32 = 10;

    async fn ask(service: &Service, book: usize, path: &str, write: Option<String>) -> Event {
        let began = Instant::now();
        let reply = match &write {
            Some(title) => service.put(path, &json!({ "title": title })).await,
            None => service.get(path).await,
        };
        let ended = Instant::now();
        let shown = reply.expect(200);
        let (version, title) =
            (shown["version"].as_u64().unwrap(), shown["title"].as_str().unwrap().to_owned());
        if let Some(written) = &write {
            assert_eq!(title, *written, "a write is answered with what it wrote");
        }
        Event { book, wrote: write.is_some(), version, title, began, ended }
    }

    /// Readers and writers at random on a few books over two instances; what is wrong with it.
    async fn no_read_is_older_than_an_acknowledged_write(store: Store, operations: usize) {
        let start = store.share(Start::without_provider().environment("REDIS_URL", &redis_url()));
        let services = Arc::new([start.serve(), start.serve()]);
        let mut paths = Vec::new();
        for number in 0..BOOKS {
            paths.push(format!("/api/v1/books/{}", services[0].book(&format!("Book {number}")).await));
        }
        let (paths, next) = (Arc::new(paths), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (services, paths, next) = (Arc::clone(&services), Arc::clone(&paths), Arc::clone(&next));
            clients.spawn(async move {
                let mut events = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= operations {
                        return events;
                    }
                    let (service, book, dice) = {
                        let mut random = rand::rng();
                        (
                            random.random_range(0..2),
                            random.random_range(0..BOOKS),
                            random.random_range(0..100),
                        )
                    };
                    let write = (dice < WRITES).then(|| format!("Marker {number}"));
                    events.push(ask(&services[service], book, &paths[book], write).await);
                }
            });
        }
        let history: Vec<Event> = clients.join_all().await.into_iter().flatten().collect();
        let took = began.elapsed();
        let wrongs = wrongs(&history);
        let writes = history.iter().filter(|event| event.wrote).count();
        let mut outcomes = [0.0; 3];
        for service in services.iter() {
            for (sum, outcome) in outcomes.iter_mut().zip(["hit", "miss", "error"]) {
                let labels = [r#"cache="book""#, &format!(r#"outcome="{outcome}""#)];
                *sum += service.metric("bookstore_cache_requests_total", &labels).await;
            }
        }
        println!(
            "{} operations, {writes} of them writes, within {took:.1?}; cache hits, misses, errors {outcomes:?}; {} wrong",
            history.len(),
            wrongs.len()
        );
        assert_eq!(history.len(), operations);
        assert!(wrongs.is_empty(), "{} are wrong: {:#?}", wrongs.len(), &wrongs[..wrongs.len().min(5)]);
        assert!(outcomes[0] > 0.0 && outcomes[1] > 0.0, "the cache was not in use: {outcomes:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn twenty_thousand_operations() {
        no_read_is_older_than_an_acknowledged_write(Store::Embedded, 20_000).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn twenty_thousand_operations_on_mongodb() {
        no_read_is_older_than_an_acknowledged_write(Store::MongoDb(Scratch::new()), 20_000).await;
    }

    #[cfg(feature = "soak")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hundred_thousand_operations() {
        no_read_is_older_than_an_acknowledged_write(Store::Embedded, 100_000).await;
    }

    #[cfg(feature = "soak")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hundred_thousand_operations_on_mongodb() {
        no_read_is_older_than_an_acknowledged_write(Store::MongoDb(Scratch::new()), 100_000).await;
    }
}
