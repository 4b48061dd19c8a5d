//! The cache in Redis (7 or later), shared by every instance that has the same server.
//!
//! A key holds nothing, `V` and a value, or `L` and the nonce of a lease (as memcached's leases). A
//! hit is one `GET`. Who finds nothing puts a lease there; a fill replaces exactly the lease that
//! its ticket names; an invalidation is one `DEL`. So an invalidation, an eviction, an expiry and a
//! `FLUSHALL` all void the tickets that are out, and there is no counter that any of them resets.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use uuid::Uuid;

use super::{Cache, CacheError, CacheKey, FillTicket, Lookup, TICKET_TIME};
use crate::redis_link::{KnownScript, LinkError, Patience, RedisLink};

/// Version of what is cached: a program that writes another shape must not read this one.
const VERSION: &str = "v1";
/// First byte of a value.
const VALUE: u8 = b'V';
/// First byte of a lease.
const LEASE: u8 = b'L';
/// Keys of one `DEL`.
const KEYS_AT_ONCE: usize = 500;
/// The cache must be faster than what stands behind it: longer waits are failures.
const PATIENCE: Patience = Patience { deadline: Duration::from_millis(250), tries_anyway: false };
/// For what is sent even while the server is left alone: an invalidation, without which other
/// instances serve what is stale, and the question whether it is back.
const INSISTENT: Patience = Patience { tries_anyway: true, ..PATIENCE };

/// Puts the value in if the key still holds the lease.
const FILL: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0";

/// A cache in Redis.
pub struct RedisCache {
    link: RedisLink,
    prefix: String,
    fill: KnownScript,
}

impl RedisCache {
    /// The cache behind `link`; its keys begin with `namespace`.
    #[must_use]
    pub fn new(link: RedisLink, namespace: &str) -> Self {
        Self { link, prefix: format!("{namespace}:{VERSION}"), fill: KnownScript::new(FILL) }
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}:{}:{}", self.prefix, key.area.as_str(), key.id)
    }
}

/// What a key holds.
fn held(value: Value) -> Result<Option<Lookup>, CacheError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => {
            let bytes = Bytes::from(bytes);
            match bytes.first() {
                Some(&VALUE) => Ok(Some(Lookup::Hit(bytes.slice(1..)))),
                Some(&LEASE) => Ok(Some(Lookup::Miss(FillTicket::Nonce(bytes.slice(1..))))),
                _ => Err(CacheError::Refused("a key holds neither a value nor a lease".to_owned())),
            }
        }
        _ => Err(CacheError::Refused("an answer is no string".to_owned())),
    }
}

fn marked(mark: u8, bytes: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(bytes.len() + 1);
    marked.push(mark);
    marked.extend_from_slice(bytes);
    marked
}

fn whole_milliseconds(duration: Duration) -> u64 {
    // Redis refuses 0.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl From<LinkError> for CacheError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unavailable(reason) => Self::Unavailable(reason),
            LinkError::Refused(reason) => Self::Refused(reason),
        }
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError> {
        let name = self.name(key);
        let mut get = redis::cmd("GET");
        get.arg(&name);
        if let Some(found) = held(self.link.query(&get, PATIENCE).await?)? {
            return Ok(found);
        }
        let nonce = Uuid::now_v7().simple().to_string();
        let mut lease = redis::cmd("SET");
        lease.arg(&name).arg(marked(LEASE, nonce.as_bytes())).arg("NX").arg("GET");
        lease.arg("PX").arg(whole_milliseconds(TICKET_TIME));
        match held(self.link.query(&lease, PATIENCE).await?)? {
            // Somebody was faster: a value, or their lease.
            Some(found) => Ok(found),
            None => Ok(Lookup::Miss(FillTicket::Nonce(nonce.into()))),
        }
    }

    async fn fill(
        &self,
        key: &CacheKey,
        ticket: &FillTicket,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<bool, CacheError> {
        let FillTicket::Nonce(nonce) = ticket else { return Ok(false) };
        let (lease, value) = (marked(LEASE, nonce), marked(VALUE, &value));
        let milliseconds = whole_milliseconds(time_to_live).to_string();
        let arguments: [&[u8]; 3] = [&lease, &value, milliseconds.as_bytes()];
        let filled: u8 = self.link.run(&self.fill, &[&self.name(key)], &arguments, PATIENCE).await?;
        Ok(filled == 1)
    }

    async fn invalidate(&self, keys: &[CacheKey]) -> Result<(), CacheError> {
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut delete = redis::cmd("DEL");
            for key in keys {
                delete.arg(self.name(key));
            }
            self.link.query::<u64>(&delete, INSISTENT).await?;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(self.link.query(&redis::cmd("PING"), INSISTENT).await?)
    }
}
