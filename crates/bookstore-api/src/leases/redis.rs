//! Leases in Redis: binding for every process that has the same server.
//!
//! A key holds the fence and the holder's token; one script each acquires, renews and releases. The
//! fence is the server's clock, so that it grows even over a `FLUSHALL`. (A clock that was set back
//! makes it shrink: then an answer may not be kept, and is paid for again.)

use std::time::Duration;

use async_trait::async_trait;

use super::{Acquisition, Lease, LeaseError, Leases};
use crate::redis_link::{KnownScript, LinkError, Patience, RedisLink};

/// A lease is about money and precedes seconds of waiting: it may take a moment, and is tried even
/// while the cache is left alone.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(1), tries_anyway: true };

/// Token, milliseconds → whether it is ours, the holder's fence.
const ACQUIRE: &str = "\
local held = redis.call('GET', KEYS[1])
if held then
  local fence, token = string.match(held, '^(%d+):(.*)$')
  if token ~= ARGV[1] then return {0, fence or '0'} end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, fence}
end
local time = redis.call('TIME')
local fence = time[1] .. string.format('%06d', tonumber(time[2]))
redis.call('SET', KEYS[1], fence .. ':' .. ARGV[1], 'PX', ARGV[2])
return {1, fence}";

/// What the key holds, milliseconds → whether it is still so.
const RENEW: &str = "\
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// What the key holds → whether it was so.
const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// Leases in Redis.
pub struct RedisLeases {
    link: RedisLink,
    prefix: String,
    acquire: KnownScript,
    renew: KnownScript,
    release: KnownScript,
}

impl RedisLeases {
    /// The leases behind `link`; their keys begin with `namespace`.
    #[must_use]
    pub fn new(link: RedisLink, namespace: &str) -> Self {
        Self {
            link,
            prefix: format!("{namespace}:v1:lease"),
            acquire: KnownScript::new(ACQUIRE),
            renew: KnownScript::new(RENEW),
            release: KnownScript::new(RELEASE),
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{}:{key}", self.prefix)
    }
}

fn value(lease: &Lease) -> String {
    format!("{}:{}", lease.fence, lease.token)
}

impl From<LinkError> for LeaseError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unavailable(reason) | LinkError::Refused(reason) => Self::Unavailable(reason),
        }
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn acquire(&self, key: &str, token: &str, lasts: Duration) -> Result<Acquisition, LeaseError> {
        let lasts = lasts.as_millis().to_string();
        let arguments = [token.as_bytes(), lasts.as_bytes()];
        let (ours, fence): (u8, String) =
            self.link.run(&self.acquire, &[&self.name(key)], &arguments, PATIENCE).await?;
        let fence = fence.parse().unwrap_or(0);
        Ok(match ours {
            1 => Acquisition::Acquired(Lease { key: key.to_owned(), token: token.to_owned(), fence }),
            _ => Acquisition::Held { fence },
        })
    }

    async fn renew(&self, lease: &Lease, lasts: Duration) -> Result<bool, LeaseError> {
        let (value, lasts) = (value(lease), lasts.as_millis().to_string());
        let arguments = [value.as_bytes(), lasts.as_bytes()];
        let ours: u8 = self.link.run(&self.renew, &[&self.name(&lease.key)], &arguments, PATIENCE).await?;
        Ok(ours == 1)
    }

    async fn release(&self, lease: &Lease) -> Result<bool, LeaseError> {
        let value = value(lease);
        let ours: u8 =
            self.link.run(&self.release, &[&self.name(&lease.key)], &[value.as_bytes()], PATIENCE).await?;
        Ok(ours == 1)
    }
}
