//! The driver's pool of connections, as its own events tell of it.
//!
//! Owns the count of connections by what they do, and of operations that wait for one. Must not know what
//! the operations are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::ServerAddress;
use telemetry::ConnectionPool;

/// An operation that has waited for so long has given up: the driver tells nothing of one that was dropped.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What an event is about, as far as it is counted.
#[derive(Debug)]
enum Told {
    /// A connection can be used.
    Ready(ServerAddress, u32),
    /// An operation has it now, after waiting for so long.
    Taken(ServerAddress, u32, Duration),
    /// It was given back.
    Returned(ServerAddress, u32),
    /// It is gone.
    Closed(ServerAddress, u32),
    /// An operation wants a connection.
    Wanted,
    /// The server cannot be used: whoever waits is told so, or has left.
    Cleared,
    /// It got none, after waiting for so long.
    Refused(Duration),
}

impl Told {
    fn of(event: CmapEvent) -> Option<Self> {
        Some(match event {
            CmapEvent::ConnectionReady(event) => Self::Ready(event.address, event.connection_id),
            CmapEvent::ConnectionCheckedOut(event) => {
                Self::Taken(event.address, event.connection_id, event.duration)
            }
            CmapEvent::ConnectionCheckedIn(event) => Self::Returned(event.address, event.connection_id),
            CmapEvent::ConnectionClosed(event) => Self::Closed(event.address, event.connection_id),
            CmapEvent::ConnectionCheckoutStarted(_) => Self::Wanted,
            CmapEvent::ConnectionCheckoutFailed(event) => Self::Refused(event.duration),
            CmapEvent::PoolCleared(_) => Self::Cleared,
            _ => return None,
        })
    }
}

/// Counts by events.
#[derive(Default)]
struct Count {
    /// Connections that can be used: whether they are.
    connections: HashMap<(ServerAddress, u32), bool>,
    used: u64,
    /// Since when operations have been waiting, in order.
    waiting: VecDeque<Instant>,
}

impl Count {
    fn note(&mut self, told: Told, now: Instant) {
        while self.waiting.front().is_some_and(|since| now.duration_since(*since) > LONGEST_WAIT) {
            self.waiting.pop_front();
        }
        match told {
            Told::Ready(address, id) | Told::Returned(address, id) => self.set((address, id), Some(false)),
            Told::Taken(address, id, waited) => {
                self.set((address, id), Some(true));
                self.waited(now, waited);
            }
            Told::Closed(address, id) => self.set((address, id), None),
            Told::Wanted => self.waiting.push_back(now),
            Told::Cleared => self.waiting.clear(),
            Told::Refused(waited) => self.waited(now, waited),
        }
    }

    fn set(&mut self, connection: (ServerAddress, u32), used: Option<bool>) {
        let before = match used {
            Some(used) => self.connections.insert(connection, used),
            None => self.connections.remove(&connection),
        };
        self.used += u64::from(used == Some(true));
        self.used -= u64::from(before == Some(true));
    }

    /// Forgets the operation that began to wait then: the one whose beginning is nearest.
    fn waited(&mut self, now: Instant, waited: Duration) {
        let since = now.checked_sub(waited).unwrap_or(now);
        let after = self.waiting.partition_point(|other| *other < since);
        let distance = |index: &usize| {
            self.waiting.get(*index).map_or(Duration::MAX, |other| {
                other.saturating_duration_since(since) + since.saturating_duration_since(*other)
            })
        };
        let nearest = [after.checked_sub(1), Some(after)].into_iter().flatten().min_by_key(distance);
        if let Some(nearest) = nearest {
            self.waiting.remove(nearest);
        }
    }

    fn tell(&self, pool: &ConnectionPool) {
        let all = u64::try_from(self.connections.len()).unwrap_or(u64::MAX);
        pool.connections(all.saturating_sub(self.used), self.used);
        pool.pending(u64::try_from(self.waiting.len()).unwrap_or(u64::MAX));
    }
}

/// Keeps `pool` told.
pub(super) fn counted_in(pool: ConnectionPool) -> EventHandler<CmapEvent> {
    let count = Mutex::new(Count::default());
    EventHandler::callback(move |event| {
        let Some(told) = Told::of(event) else { return };
        // Nothing in here panics half way.
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        count.note(told, Instant::now());
        count.tell(&pool);
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mongodb::options::ServerAddress;

    use super::{Count, LONGEST_WAIT, Told};

    fn at() -> ServerAddress {
        ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(27_017) }
    }

    fn standing(count: &Count) -> (usize, u64, usize) {
        (count.connections.len(), count.used, count.waiting.len())
    }

    #[test]
    fn a_connection_is_idle_or_used_until_it_is_closed() {
        let (mut count, now) = (Count::default(), Instant::now());
        count.note(Told::Wanted, now);
        assert_eq!(standing(&count), (0, 0, 1));
        count.note(Told::Ready(at(), 1), now);
        count.note(Told::Taken(at(), 1, Duration::ZERO), now);
        assert_eq!(standing(&count), (1, 1, 0));
        count.note(Told::Returned(at(), 1), now);
        assert_eq!(standing(&count), (1, 0, 0));
        // Broken while it was used, and told twice.
        count.note(Told::Taken(at(), 1, Duration::ZERO), now);
        count.note(Told::Closed(at(), 1), now);
        count.note(Told::Closed(at(), 1), now);
        assert_eq!(standing(&count), (0, 0, 0));
    }

    #[test]
    fn who_gave_up_waiting_is_forgotten_in_time() {
        let (mut count, begin) = (Count::default(), Instant::now());
        // Dropped, of which nothing is told; a second one goes on waiting and is served.
        count.note(Told::Wanted, begin);
        let second = begin + Duration::from_secs(2);
        count.note(Told::Wanted, second);
        let served = begin + Duration::from_secs(3);
        count.note(Told::Taken(at(), 1, Duration::from_secs(1)), served);
        assert_eq!((count.waiting.len(), count.waiting[0]), (1, begin));
        count.note(Told::Wanted, served);
        count.note(Told::Cleared, served);
        assert_eq!(standing(&count), (1, 1, 0));
        let late = begin + LONGEST_WAIT + Duration::from_secs(1);
        count.note(Told::Wanted, late);
        count.note(Told::Refused(Duration::ZERO), late);
        assert_eq!(standing(&count), (1, 1, 0));
    }
}
