//! Limits counted in Redis: binding for every process that has the same server.
//!
//! A hash a day holds what each scope has spent and reserved (`s:`), what of it is only reserved (`h:`), the
//! reservations that are not settled (`r:`) and the epoch; another holds when each bucket is full again. One script each reserves, settles and seeds,
//! so that each is carried out whole. Amounts are billionths of a dollar, times microseconds of the
//! server's clock: whole numbers below 2^53.
//!
//! The epoch begins with the server's `run_id`: after a restart what the server still has may be older
//! than what was counted last, and counts as lost like after a `FLUSHALL`. (The keys of a script lie on
//! one server: a cluster is not meant.)

use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use uuid::Uuid;

use super::{
    Denial, Epoch, LARGEST, Level, LimitKind, Limits, LimitsError, Rate, Reservation, Reserved, Scope, Used,
};
use crate::redis_link::{KnownScript, LinkError, Patience, RedisLink};

/// It is about money and precedes seconds of waiting: it may take a moment, and is tried even while the
/// cache is left alone.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(1), tries_anyway: true };
/// Seconds that a day's hash is kept after its last use.
const KEPT: &str = "172800";
/// How long an instance may take, at most by far, to write into the ledger what it has counted. Waited for
/// once a day, and after a loss.
const GRACE: Duration = Duration::from_millis(500);
/// Stands for no limit.
const NONE: &str = "-";

/// Id, amount, seconds; then of each scope: name, budget, tokens a minute and the time that these tokens
/// take to refill, calls a minute and the time of one → what came of it.
const RESERVE: &str = "\
local day, buckets = KEYS[1], KEYS[2]
local epoch = redis.call('HGET', day, 'epoch')
if redis.call('HEXISTS', day, 'r:' .. ARGV[1]) == 1 then return {'done', epoch or ''} end
local amount = tonumber(ARGV[2])
local budgeted = false
for i = 4, #ARGV, 6 do
  if ARGV[i + 1] ~= '-' then budgeted = true end
end
if budgeted then
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if not epoch or string.match(epoch, '^%w+') ~= run then return {'unseeded'} end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = {}
for i = 4, #ARGV, 6 do
  local scope = ARGV[i]
  local number = string.format('%.0f', (i - 4) / 6)
  if ARGV[i + 1] ~= '-' and amount > 0 then
    local spent = tonumber(redis.call('HGET', day, 's:' .. scope) or '0')
    if spent + amount > tonumber(ARGV[i + 1]) then
      local held = redis.call('HGET', day, 'h:' .. scope) or '0'
      return {'budget', number, string.format('%.0f', spent), held}
    end
  end
  for kind, at in pairs({t = i + 2, q = i + 4}) do
    if ARGV[at] ~= '-' then
      local bucket = kind .. ':' .. scope
      local until_full = math.max(tonumber(redis.call('HGET', buckets, bucket) or '0') - now, 0)
      local takes = tonumber(ARGV[at + 1])
      if until_full + math.min(takes, 60000000) > 60000000 then
        return {kind, number, string.format('%.0f', until_full)}
      end
      full[#full + 1] = bucket
      full[#full + 1] = string.format('%.0f', now + until_full + takes)
    end
  end
end
if #full > 0 then
  redis.call('HSET', buckets, unpack(full))
  redis.call('EXPIRE', buckets, ARGV[3])
end
for i = 4, #ARGV, 6 do
  redis.call('HINCRBY', day, 's:' .. ARGV[i], ARGV[2])
  redis.call('HINCRBY', day, 'h:' .. ARGV[i], ARGV[2])
end
redis.call('HSET', day, 'r:' .. ARGV[1], 1)
redis.call('EXPIRE', day, ARGV[3])
return {'done', epoch or ''}";

/// Id, epoch, what was used, what was used less what was reserved; then of each scope: name, time that the
/// tokens used take to refill less that of those reserved → whether it was reserved. What was counted in
/// counters that are lost since counts in their successors as it was used: whether those were seeded with
/// it nobody knows.
const SETTLE: &str = "\
local day, buckets = KEYS[1], KEYS[2]
if redis.call('HDEL', day, 'r:' .. ARGV[1]) == 1 then
  for i = 5, #ARGV, 2 do
    redis.call('HINCRBY', day, 's:' .. ARGV[i], ARGV[4])
    redis.call('HINCRBY', day, 'h:' .. ARGV[i], string.format('%.0f', ARGV[4] - ARGV[3]))
    local bucket = 't:' .. ARGV[i]
    if ARGV[i + 1] ~= '-' and redis.call('HEXISTS', buckets, bucket) == 1 then
      redis.call('HINCRBY', buckets, bucket, ARGV[i + 1])
    end
  end
  return 1
end
local epoch = redis.call('HGET', day, 'epoch')
if epoch and ARGV[2] ~= '' and epoch ~= ARGV[2] and redis.call('HSETNX', day, 'x:' .. ARGV[1], 1) == 1 then
  for i = 5, #ARGV, 2 do redis.call('HINCRBY', day, 's:' .. ARGV[i], ARGV[3]) end
end
return 0";

/// A random word, seconds; then of each scope: name, amount → whether they were taken.
const SEED: &str = "\
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and string.match(epoch, '^%w+') == run then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', run .. ':' .. ARGV[1])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], 's:' .. ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1";

/// Names of scopes → of each what it has spent and when its buckets are full; none if that is not known.
const LEVELS: &str = "\
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or string.match(epoch, '^%w+') ~= run then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local levels = {}
for i = 1, #ARGV do
  levels[#levels + 1] = redis.call('HGET', KEYS[1], 's:' .. ARGV[i]) or '0'
  for _, kind in ipairs({'t:', 'q:'}) do
    local at = tonumber(redis.call('HGET', KEYS[2], kind .. ARGV[i]) or '0')
    levels[#levels + 1] = string.format('%.0f', math.max(at - now, 0))
  end
end
return levels";

/// Limits in Redis.
pub struct RedisLimits {
    link: RedisLink,
    prefix: String,
    reserve: KnownScript,
    settle: KnownScript,
    seed: KnownScript,
    levels: KnownScript,
}

impl RedisLimits {
    /// The limits behind `link`; their keys begin with `namespace`.
    #[must_use]
    pub fn new(link: RedisLink, namespace: &str) -> Self {
        Self {
            link,
            prefix: format!("{namespace}:v1:spend"),
            reserve: KnownScript::new(RESERVE),
            settle: KnownScript::new(SETTLE),
            seed: KnownScript::new(SEED),
            levels: KnownScript::new(LEVELS),
        }
    }

    fn day(&self, day: NaiveDate) -> String {
        format!("{}:{day}", self.prefix)
    }

    fn buckets(&self) -> String {
        format!("{}:buckets", self.prefix)
    }
}

impl From<LinkError> for LimitsError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unavailable(reason) | LinkError::Refused(reason) => Self::Unavailable(reason),
        }
    }
}

fn bytes(arguments: &[String]) -> Vec<&[u8]> {
    arguments.iter().map(String::as_bytes).collect()
}

/// A rate and the time that what is taken of it needs to refill.
fn rate(limit: Option<u64>, count: u64) -> [String; 2] {
    match limit {
        Some(limit) => [limit.to_string(), Rate(limit).time_of(count).to_string()],
        None => [NONE.to_owned(), NONE.to_owned()],
    }
}

fn signed(used: u64, reserved: u64) -> i64 {
    i64::try_from(used.min(LARGEST)).unwrap_or(0) - i64::try_from(reserved.min(LARGEST)).unwrap_or(0)
}

/// What a script should not have answered.
fn unexpected() -> LimitsError {
    LimitsError::Unavailable("Redis answered what the script does not say".to_owned())
}

/// A denial out of the script's words: which limit, the number of the scope, what is used up of it, and, of a
/// budget, what of that is only reserved.
fn denial(reservation: &Reservation, words: &[String]) -> Option<Denial> {
    let [which, scope, used, rest @ ..] = words else { return None };
    let (scope, bounds) = reservation.bounds.get(scope.parse::<usize>().ok()?)?;
    let (scope, used) = (scope.clone(), used.parse::<u64>().ok()?);
    let (kind, limit, count) = match which.as_str() {
        "budget" => {
            let (kind, limit) = (LimitKind::DailyBudget, bounds.daily_nanos?);
            let left = limit.saturating_sub(used);
            // Below nothing only if somebody else has written there.
            let held = u64::try_from(rest.first()?.parse::<i64>().ok()?).unwrap_or(0);
            return Some(Denial { scope, kind, limit, left, held, wait: None, whole: None });
        }
        "t" => (LimitKind::TokensPerMinute, bounds.tokens_per_minute?, reservation.tokens),
        "q" => (LimitKind::RequestsPerMinute, bounds.requests_per_minute?, 1),
        _ => return None,
    };
    let wait = Some(Rate(limit).wait(used, count).unwrap_or_default());
    let whole = Some(Duration::from_micros(used));
    Some(Denial { scope, kind, limit, left: Rate(limit).left(used), held: 0, wait, whole })
}

#[async_trait]
impl Limits for RedisLimits {
    async fn reserve(&self, reservation: &Reservation) -> Result<Reserved, LimitsError> {
        let amount = reservation.amount.min(LARGEST).to_string();
        let mut arguments = vec![reservation.id.simple().to_string(), amount, KEPT.to_owned()];
        for (scope, bounds) in &reservation.bounds {
            arguments.push(scope.to_string());
            arguments.push(bounds.daily_nanos.map_or_else(|| NONE.to_owned(), |limit| limit.to_string()));
            arguments.extend(rate(bounds.tokens_per_minute, reservation.tokens));
            arguments.extend(rate(bounds.requests_per_minute, 1));
        }
        let (day, buckets) = (self.day(reservation.day), self.buckets());
        let answer: Vec<String> =
            self.link.run(&self.reserve, &[&day, &buckets], &bytes(&arguments), PATIENCE).await?;
        match answer.first().map(String::as_str) {
            Some("done") => Ok(Reserved::Done(Epoch(answer.into_iter().nth(1).unwrap_or_default()))),
            Some("unseeded") => Ok(Reserved::Unseeded),
            _ => denial(reservation, &answer).map(Reserved::Denied).ok_or_else(unexpected),
        }
    }

    async fn settle(
        &self,
        reservation: &Reservation,
        epoch: Option<&Epoch>,
        used: Used,
    ) -> Result<(), LimitsError> {
        let mut arguments = vec![
            reservation.id.simple().to_string(),
            epoch.map(|epoch| epoch.0.clone()).unwrap_or_default(),
            used.amount.min(LARGEST).to_string(),
            signed(used.amount, reservation.amount).to_string(),
        ];
        for (scope, bounds) in &reservation.bounds {
            arguments.push(scope.to_string());
            arguments.push(bounds.tokens_per_minute.map(Rate).map_or_else(
                || NONE.to_owned(),
                |rate| signed(rate.time_of(used.tokens), rate.time_of(reservation.tokens)).to_string(),
            ));
        }
        let (day, buckets) = (self.day(reservation.day), self.buckets());
        let _: u8 = self.link.run(&self.settle, &[&day, &buckets], &bytes(&arguments), PATIENCE).await?;
        Ok(())
    }

    fn grace(&self) -> Duration {
        GRACE
    }

    async fn seed(&self, day: NaiveDate, spent: &[(Scope, u64)]) -> Result<(), LimitsError> {
        let mut arguments = vec![Uuid::now_v7().simple().to_string(), KEPT.to_owned()];
        for (scope, amount) in spent {
            arguments.extend([scope.to_string(), (*amount).min(LARGEST).to_string()]);
        }
        let _: u8 = self.link.run(&self.seed, &[&self.day(day)], &bytes(&arguments), PATIENCE).await?;
        Ok(())
    }

    async fn levels(&self, day: NaiveDate, scopes: &[Scope]) -> Result<Option<Vec<Level>>, LimitsError> {
        let names: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        let (day, buckets) = (self.day(day), self.buckets());
        let answer: Vec<String> =
            self.link.run(&self.levels, &[&day, &buckets], &bytes(&names), PATIENCE).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let (figures, rest) = answer.as_chunks::<3>();
        if figures.len() != scopes.len() || !rest.is_empty() {
            return Err(unexpected());
        }
        let level = |[spent, tokens, requests]: &[String; 3]| {
            Some(Level {
                spent: u64::try_from(spent.parse::<i64>().ok()?).unwrap_or(0),
                tokens: Duration::from_micros(tokens.parse().ok()?),
                requests: Duration::from_micros(requests.parse().ok()?),
            })
        };
        figures.iter().map(level).collect::<Option<Vec<_>>>().map(Some).ok_or_else(unexpected)
    }
}
