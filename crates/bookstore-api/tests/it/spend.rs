//! Budgets and the ledger, asked as summaries ask them: through a gate, around a provider that bills. Long
//! because every test stands on the one stage at the top: tenants, a clock with hands, and that provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bookstore_api::limits::memory::MemoryLimits;
use bookstore_api::limits::{Bounds, Epoch, Level, Limits, LimitsError, Reservation, Reserved, Scope, Used};
use bookstore_api::spend::ledger::Totals;
use bookstore_api::spend::{BudgetsCount, Clock, Counters, Policy, Spend};
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{StoreError, Tally, TallyStore};
use bookstore_api::tenants::{Tenant, file};
use chrono::{DateTime, NaiveDate, Utc};
use futures::StreamExt;
use llm::{
    Beginning, Chunk, Completion, CompletionStream, Cost, Delivery, Ending, ErrorKind, LlmError, LlmProvider,
    Observed, Prices, Prompt, ProviderName, Refusal, Request, StopReason, TokenUsage, Trail, complete,
};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::service::{PATIENCE, eventually};

/// How many ask at once. `make soak-llm` proves the figure.
const CROWD: u64 = if cfg!(feature = "soak") { 2_000 } else { 300 };
/// For how many the budget is.
const BUDGETED: u64 = 100;
/// What every answer is said to have taken.
const USAGE: TokenUsage = TokenUsage {
    input: 40,
    output: 20,
    cached_input: 0,
    cache_write_input: 0,
    reasoning_output: 0,
    reported: true,
};

/// What a provider does with its next calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Answers,
    Simulates,
    Fails,
    /// The answer breaks off before its end.
    Breaks,
}

/// A provider that counts who was let in.
#[derive(Clone)]
struct Counting {
    name: ProviderName,
    model: &'static str,
    mood: Mood,
    calls: Arc<AtomicU64>,
    /// Answers need a permit.
    may_answer: Arc<Semaphore>,
}

impl Counting {
    fn new(name: ProviderName, model: &'static str) -> Self {
        let may_answer = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { name, model, mood: Mood::Answers, calls: Arc::default(), may_answer }
    }

    /// One with a price.
    fn billing() -> Self {
        Self::new(ProviderName::OpenAi, "gpt-4o")
    }

    fn free() -> Self {
        Self::new(ProviderName::Ollama, "llama3.2")
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LlmProvider for Counting {
    fn name(&self) -> ProviderName {
        self.name
    }

    fn model(&self) -> &str {
        self.model
    }

    async fn call(&self, _request: &Request) -> Result<CompletionStream, LlmError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.mood == Mood::Fails {
            return Err(LlmError::new(ErrorKind::Overloaded, "too much to do"));
        }
        let begun = Chunk::Begun(Beginning {
            provider: self.name,
            requested_model: self.model.to_owned(),
            request_id: None,
            simulated: self.mood == Mood::Simulates,
        });
        let (breaks, model, may_answer) = (self.mood == Mood::Breaks, self.model, self.may_answer.clone());
        let rest = async move {
            let _permit = may_answer.acquire().await.unwrap();
            if breaks {
                return Err(LlmError::new(ErrorKind::Unavailable, "broke off"));
            }
            let cost = Cost { billed: None, list: None };
            Ok(Chunk::End(Ending {
                model: model.to_owned(),
                usage: Some(USAGE),
                stop: StopReason::End,
                cost,
            }))
        };
        let text = Ok(Chunk::Text("Once upon a time.".to_owned()));
        Ok(futures::stream::iter([Ok(begun), text]).chain(futures::stream::once(rest)).boxed())
    }
}

fn prices() -> Arc<Prices> {
    Arc::new(Prices::shipped().unwrap())
}

/// What an answer of [`Counting::billing`] costs in billionths of a dollar.
fn price() -> u64 {
    prices().cost(ProviderName::OpenAi, "gpt-4o", false, &USAGE).billed.unwrap().nanos()
}

fn request(spend: &Spend, tenant: &str) -> Request {
    let prompt = Prompt { system: "s".to_owned(), user: "u".to_owned(), max_output_tokens: 50 };
    Request {
        prompt: Arc::new(prompt),
        delivery: Delivery::Streamed,
        deadline: Instant::now() + PATIENCE,
        trail: Trail::new(3, spend.gate(&Tenant::named(tenant).unwrap())),
        arm: None,
    }
}

async fn ask(spend: &Spend, tenant: &str, provider: &Counting) -> Result<Completion, LlmError> {
    let provider = Observed::new(provider.clone(), Metrics::unregistered(), prices());
    complete(&provider, &request(spend, tenant)).await
}

/// A clock that a test turns.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(time: &str) -> Self {
        Self(Arc::new(AtomicI64::new(time.parse::<DateTime<Utc>>().unwrap().timestamp())))
    }

    fn turn(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || DateTime::from_timestamp(this.0.load(Ordering::SeqCst), 0).unwrap())
    }
}

/// A store and what instances over it are made of.
struct Stage {
    store: EmbeddedStore,
    hands: Hands,
    policy: Policy,
    _folder: TempDir,
}

impl Stage {
    /// With a budget of so many billionths of a dollar for acme.
    fn new(nanos: u64) -> Self {
        let dollars = llm::Usd::from_nanos(nanos);
        let tenants = format!(
            r#"{{"version":1,"default":{{"requestsPerMinute":3}},"tenants":[{{"id":"acme","dailyBudgetUsd":"{dollars}"}},{{"id":"other"}}]}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: EmbeddedStore::open(folder.path()).unwrap(),
            hands: Hands::at("2026-11-21T23:59:00Z"),
            policy: Policy { tenants: file::parse(&tenants).unwrap(), ..Policy::default() },
            _folder: folder,
        }
    }

    fn over(&self, limits: impl Limits + 'static) -> Spend {
        self.with(limits, self.store.clone())
    }

    fn with(&self, limits: impl Limits + 'static, store: impl TallyStore + 'static) -> Spend {
        let (metrics, clock) = (Metrics::unregistered(), self.hands.clock());
        let counters = Counters { shared: Arc::new(limits), offline: Arc::<MemoryLimits>::default() };
        Spend::new(self.policy.clone(), counters, Arc::new(store), metrics, clock)
    }

    fn spend(&self) -> Spend {
        self.over(MemoryLimits::default())
    }
}

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, number).unwrap()
}

/// What the ledger says of a day, all accounts together.
async fn ledger(spend: &Spend, day: NaiveDate) -> Totals {
    let accounts = spend.spent((day, day), None).await.unwrap();
    accounts.into_iter().fold(Totals::default(), |sum, (_, totals)| sum.plus(totals))
}

/// What is left of acme's budget.
async fn left(spend: &Spend) -> u64 {
    spend.left(&[Tenant::named("acme").unwrap()], false).await.unwrap()[0].left
}

/// Waits until nothing is reserved any more.
async fn settled(spend: &Spend, left_at_last: u64) {
    for _ in 0..3_000 {
        if left(spend).await == left_at_last {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left(spend).await, left_at_last);
}

fn refusal(error: &LlmError) -> (&'static str, &'static str) {
    assert_eq!(error.kind, ErrorKind::NotAdmitted);
    match error.refusal.as_deref() {
        Some(Refusal::Limit { scope, kind, .. }) => (scope, kind),
        other => panic!("{other:?} {error}"),
    }
}

/// All ask at once, again and again until nobody is let in any more.
async fn a_crowd_pays_no_more_than_the_budget(instances: &[Spend]) -> u64 {
    let provider = Counting::billing();
    let mut answered = 0;
    loop {
        let mut crowd = JoinSet::new();
        for number in 0..CROWD {
            let spend = instances[usize::try_from(number).unwrap() % instances.len()].clone();
            let provider = provider.clone();
            crowd.spawn(async move {
                match ask(&spend, "acme", &provider).await {
                    Ok(completion) => {
                        assert_eq!(completion.ending.cost.billed.unwrap().nanos(), price());
                        Some(true)
                    }
                    // A busy machine: nothing is paid then, and it is asked again.
                    Err(error) if error.refusal.as_deref() == Some(&Refusal::Unknown) => None,
                    Err(error) => {
                        assert_eq!(refusal(&error), ("tenant", "daily_budget_usd"), "{error}");
                        let wait = error.retry_after.map(|wait| wait.as_secs());
                        let reserved = error.detail.contains("have reserved");
                        assert_eq!(wait, Some(if reserved { 5 } else { 60 }), "{error:?}");
                        Some(false)
                    }
                }
            });
        }
        let let_in = crowd.join_all().await;
        let known = let_in.iter().all(Option::is_some);
        let let_in = let_in.into_iter().filter(|let_in| *let_in == Some(true)).count();
        answered += let_in as u64;
        assert!(provider.calls() <= BUDGETED, "{} were paid", provider.calls());
        assert_eq!(provider.calls(), answered);
        settled(&instances[0], (BUDGETED - answered) * price()).await;
        if let_in == 0 && known {
            break;
        }
    }
    // An estimate is more than a price: the last few cannot be let in.
    assert!(answered > BUDGETED - 5, "{answered}");
    let totals = ledger(&instances[0], day(21)).await;
    assert!(totals.billed_nanos <= BUDGETED * price());
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_in_one_process_pays_no_more_than_the_budget() {
    let stage = Stage::new(BUDGETED * price());
    let spend = stage.spend();
    let answered = a_crowd_pays_no_more_than_the_budget(std::slice::from_ref(&spend)).await;
    let totals = ledger(&spend, day(21)).await;
    assert_eq!((totals.calls, totals.billed_nanos), (answered, answered * price()));
    // A restart forgets nothing: neither one after a stop nor one after a kill.
    spend.finish(PATIENCE).await;
    let restarted = stage.spend();
    assert_eq!(left(&restarted).await, (BUDGETED - answered) * price());
    assert!(ask(&restarted, "acme", &Counting::billing()).await.is_err());
    assert_eq!(ledger(&restarted, day(21)).await, totals);
}

#[cfg(feature = "integration")]
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_over_two_instances_pays_no_more_than_the_budget() {
    let stage = Stage::new(BUDGETED * price());
    let namespace = crate::servers::namespace();
    let instances = [(); 2].map(|()| stage.over(redis(&crate::servers::redis_url(), &namespace)));
    a_crowd_pays_no_more_than_the_budget(&instances).await;
}

#[cfg(feature = "integration")]
fn redis(url: &str, namespace: &str) -> bookstore_api::limits::redis::RedisLimits {
    let url = secrecy::SecretString::from(url.to_owned());
    let link = bookstore_api::redis_link::RedisLink::new(&url).unwrap();
    bookstore_api::limits::redis::RedisLimits::new(link, namespace)
}

#[cfg(feature = "integration")]
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_in_the_middle_of_a_crowd_forgets_nothing() {
    let stage = Stage::new(BUDGETED * price());
    let mut server = crate::servers::OwnRedis::start();
    let instances = [(); 2].map(|()| stage.over(redis(&server.url(), "flushed")));
    let provider = Counting::billing();
    for round in 0..12 {
        let mut crowd = JoinSet::new();
        for number in 0..40 {
            let (spend, provider) = (instances[number % 2].clone(), provider.clone());
            crowd.spawn(async move { ask(&spend, "acme", &provider).await.is_ok() });
        }
        if round == 3 {
            server.command(&["FLUSHALL"]);
        }
        crowd.join_all().await;
        match round {
            5 => drop(server.command(&["FLUSHALL"])),
            8 => server.restart(),
            _ => {}
        }
    }
    let totals = ledger(&instances[1], day(21)).await;
    assert_eq!(totals.calls, provider.calls());
    assert!(totals.calls > BUDGETED / 2, "{totals:?}");
    assert!(totals.billed_nanos <= BUDGETED * price(), "{totals:?}");
}

#[cfg(feature = "integration")]
#[tokio::test]
async fn without_redis_nothing_is_paid_and_what_is_free_goes_on() {
    let mut stage = Stage::new(BUDGETED * price());
    let mut server = crate::servers::OwnRedis::start();
    let spend = stage.over(redis(&server.url(), "gone"));
    ask(&spend, "acme", &Counting::billing()).await.unwrap();
    settled(&spend, (BUDGETED - 1) * price()).await;
    server.stop();
    let billing = Counting::billing();
    let error = ask(&spend, "acme", &billing).await.unwrap_err();
    assert_eq!((error.kind, error.refusal.as_deref()), (ErrorKind::NotAdmitted, Some(&Refusal::Unknown)));
    assert!(error.retry_after.is_some() && billing.calls() == 0, "{error:?}");
    assert_eq!(spend.left(&[Tenant::named("acme").unwrap()], false).await, None);
    ask(&spend, "acme", &Counting::free()).await.unwrap();
    ask(&spend, "acme", &Counting::new(ProviderName::Simulated, "simulated")).await.unwrap();
    // Whom no budget binds goes on; rates are counted here then.
    for _ in 0..3 {
        ask(&spend, "default", &billing).await.unwrap();
    }
    let error = ask(&spend, "default", &billing).await.unwrap_err();
    assert_eq!(refusal(&error), ("tenant", "requests_per_minute"));
    server.restart();
    for _ in 0..100 {
        if ask(&spend, "acme", &Counting::billing()).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    settled(&spend, (BUDGETED - 2) * price()).await;
    // A budget for all binds whoever has none.
    server.stop();
    stage.policy.global = Bounds { daily_nanos: Some(1), ..Bounds::default() };
    let spend = stage.over(redis(&server.url(), "gone"));
    assert_eq!(ask(&spend, "other", &billing).await.unwrap_err().refusal.as_deref(), Some(&Refusal::Unknown));
}

#[tokio::test]
async fn the_ledger_holds_every_attempt_by_its_kind() {
    let stage = Stage::new(u64::MAX / 100_000);
    let spend = stage.spend();
    let moods = [Mood::Answers, Mood::Fails, Mood::Breaks, Mood::Simulates];
    for (number, mood) in moods.into_iter().cycle().take(40).enumerate() {
        let tenant = if number % 8 < 4 { "acme" } else { "other" };
        let _ = ask(&spend, tenant, &Counting { mood, ..Counting::billing() }).await;
    }
    let half = Observed::new(Counting::billing(), Metrics::unregistered(), prices());
    let mut stream = half.call(&request(&spend, "acme")).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let accounts = spend.spent((day(21), day(21)), None).await.unwrap();
    let names: Vec<String> = accounts
        .iter()
        .map(|(account, _)| {
            format!("{} {} {} {}", account.tenant, account.provider, account.model, account.simulated)
        })
        .collect();
    let wanted = [
        "acme openai gpt-4o false",
        "acme openai gpt-4o true",
        "other openai gpt-4o false",
        "other openai gpt-4o true",
    ];
    assert_eq!(names, wanted);
    let [(_, real), (_, simulated), ..] = accounts.as_slice() else { panic!() };
    assert_eq!((real.calls, real.failed_calls), (16, 11));
    assert_eq!((real.input_tokens, real.output_tokens), (5 * USAGE.input, 5 * USAGE.output));
    assert!(real.estimated_input_tokens > 0 && real.estimated_output_tokens > 0, "{real:?}");
    assert!(real.billed_nanos > 5 * price() && real.billed_nanos == real.list_nanos, "{real:?}");
    assert_eq!((simulated.calls, simulated.billed_nanos, simulated.list_nanos), (5, 0, 5 * price()));
    let acme = Tenant::named("acme").unwrap();
    assert_eq!(spend.spent((day(1), day(30)), Some(&acme)).await.unwrap().len(), 2);
    assert_eq!(spend.spent((day(22), day(30)), None).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_spent_is_told_until_midnight_and_what_never_fits_without_a_wait() {
    let stage = Stage::new(5 * price());
    let spend = stage.spend();
    while ask(&spend, "acme", &Counting::billing()).await.is_ok() {}
    let error = ask(&spend, "acme", &Counting::billing()).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(60)), "{error}");
    assert!(!error.detail.contains("have reserved"), "{error}");
    let small = Stage::new(1);
    let error = ask(&small.spend(), "acme", &Counting::billing()).await.unwrap_err();
    assert_eq!((refusal(&error), error.retry_after), (("tenant", "daily_budget_usd"), None));
    assert!(error.detail.contains("it has to be raised"), "{error}");
}

#[tokio::test]
async fn a_call_over_midnight_belongs_to_the_day_before() {
    let stage = Stage::new(3 * price());
    let spend = stage.spend();
    let slow = Counting { may_answer: Arc::new(Semaphore::new(0)), ..Counting::billing() };
    let begun = {
        let (spend, provider) = (spend.clone(), slow.clone());
        JoinSet::from_iter([async move { ask(&spend, "acme", &provider).await }])
    };
    eventually(|| (slow.calls() == 1).then_some(())).await;
    let error = ask(&spend, "acme", &Counting::billing()).await.unwrap_err();
    assert_eq!(refusal(&error), ("tenant", "daily_budget_usd"));
    assert_eq!(
        error.retry_after,
        Some(Duration::from_secs(5)),
        "the call under way may give most of it back"
    );
    assert!(error.detail.contains("have reserved"), "{error}");
    stage.hands.turn(60);
    assert_eq!(left(&spend).await, 3 * price());
    slow.may_answer.add_permits(1);
    begun.join_all().await.remove(0).unwrap();
    ask(&spend, "acme", &Counting::billing()).await.unwrap();
    settled(&spend, 2 * price()).await;
    for number in [21, 22] {
        let totals = ledger(&spend, day(number)).await;
        assert_eq!((totals.calls, totals.billed_nanos), (1, price()), "{number}");
    }
    // Nor does a restart mix them up.
    spend.finish(PATIENCE).await;
    assert_eq!(left(&stage.spend()).await, 2 * price());
}

#[tokio::test]
async fn what_a_killed_process_had_reserved_stays_spent() {
    let stage = Stage::new(3 * price());
    let spend = stage.spend();
    let slow = Counting { may_answer: Arc::new(Semaphore::new(0)), ..Counting::billing() };
    let provider = Observed::new(slow.clone(), Metrics::unregistered(), prices());
    let stream = provider.call(&request(&spend, "acme")).await.unwrap();
    let reserved = 3 * price() - left(&spend).await;
    assert!(reserved > price());
    // As after a kill: nobody settles, and what was written is all there is.
    std::mem::forget(stream);
    for _ in 0..300 {
        if !stage.store.tallies("held/").await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let restarted = stage.spend();
    assert_eq!(left(&restarted).await, 3 * price() - reserved);
    assert_eq!(ledger(&restarted, day(21)).await, Totals::default());
}

#[tokio::test]
async fn budgets_may_count_list_prices_and_bind_all_together() {
    let mut stage = Stage::new(u64::MAX / 100_000);
    stage.policy.counts = BudgetsCount::List;
    stage.policy.global = Bounds { daily_nanos: Some(3 * price()), ..Bounds::default() };
    let spend = stage.spend();
    let simulated = Counting { mood: Mood::Simulates, ..Counting::billing() };
    ask(&spend, "acme", &simulated).await.unwrap();
    let before = u64::MAX / 100_000;
    settled(&spend, before - price()).await;
    let error = loop {
        match ask(&spend, "other", &simulated).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal(&error), ("global", "daily_budget_usd"));
    assert!(simulated.calls() <= 3);
    // What costs nothing goes on.
    ask(&spend, "other", &Counting::free()).await.unwrap();
    ask(&spend, "other", &Counting::new(ProviderName::Simulated, "simulated")).await.unwrap();
}

#[tokio::test]
async fn without_a_price_no_budget_lets_anything_in() {
    let stage = Stage::new(1_000_000_000);
    let spend = stage.spend();
    let unpriced = Counting::new(ProviderName::OpenAi, "gpt-99");
    let error = ask(&spend, "acme", &unpriced).await.unwrap_err();
    assert!(error.kind == ErrorKind::NotAdmitted && error.detail.contains("LLM_PRICES_FILE"), "{error}");
    assert_eq!(unpriced.calls(), 0);
    // Whom no budget binds may.
    ask(&spend, "other", &unpriced).await.unwrap();
    assert_eq!(ledger(&spend, day(21)).await.unpriced_calls, 1);
}

/// Limits that answer late.
#[derive(Clone, Default)]
struct Late(Arc<MemoryLimits>);

#[async_trait]
impl Limits for Late {
    async fn reserve(&self, reservation: &Reservation) -> Result<Reserved, LimitsError> {
        let reserved = self.0.reserve(reservation).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        reserved
    }

    async fn settle(
        &self,
        reservation: &Reservation,
        epoch: Option<&Epoch>,
        used: Used,
    ) -> Result<(), LimitsError> {
        self.0.settle(reservation, epoch, used).await
    }

    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    async fn seed(&self, day: NaiveDate, spent: &[(Scope, u64)]) -> Result<(), LimitsError> {
        self.0.seed(day, spent).await
    }

    async fn levels(&self, day: NaiveDate, scopes: &[Scope]) -> Result<Option<Vec<Level>>, LimitsError> {
        self.0.levels(day, scopes).await
    }
}

#[tokio::test]
async fn who_leaves_while_being_let_in_leaves_nothing_reserved() {
    let stage = Stage::new(100 * price());
    let limits = Late::default();
    limits.seed(day(21), &[]).await.unwrap();
    let spend = stage.over(limits);
    let provider = Counting::billing();
    // At every moment of it.
    for wait in [0, 20, 80, 99, 100, 101, 102, 103, 105] {
        let asked = ask(&spend, "acme", &provider);
        let _ = tokio::time::timeout(Duration::from_millis(wait), asked).await;
    }
    let answered = ledger(&spend, day(21)).await.billed_nanos;
    settled(&spend, 100 * price() - answered).await;
    assert_eq!(ledger(&spend, day(21)).await.calls, provider.calls());
    spend.finish(PATIENCE).await;
    assert_eq!(stage.store.tallies("held/").await.unwrap().len(), 1);
    assert_eq!(left(&stage.spend()).await, 100 * price() - answered, "nothing is held");
}

/// A store that fails now and then, sometimes after it has done as told.
#[derive(Clone)]
struct Flaky {
    inner: EmbeddedStore,
    fails: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
}

#[async_trait]
impl TallyStore for Flaky {
    async fn keep_tallies(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) && number.is_multiple_of(3) {
            return Err(StoreError::Timeout);
        }
        self.inner.keep_tallies(tallies).await?;
        if self.fails.load(Ordering::SeqCst) && number % 3 == 1 { Err(StoreError::Timeout) } else { Ok(()) }
    }

    async fn tallies(&self, prefix: &str) -> Result<Vec<Tally>, StoreError> {
        self.inner.tallies(prefix).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_are_repeated_and_never_doubled() {
    let stage = Stage::new(1_000_000_000_000);
    let flaky =
        Flaky { inner: stage.store.clone(), fails: Arc::new(AtomicBool::new(true)), writes: Arc::default() };
    let spend = stage.with(MemoryLimits::default(), flaky.clone());
    while ask(&spend, "acme", &Counting::billing()).await.is_err() {}
    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let spend = spend.clone();
        crowd.spawn(async move { ask(&spend, "acme", &Counting::billing()).await.is_ok() });
    }
    assert!(crowd.join_all().await.into_iter().all(|let_in| let_in));
    spend.finish(PATIENCE).await;
    let totals = ledger(&stage.spend(), day(21)).await;
    assert_eq!((totals.calls, totals.billed_nanos), (201, 201 * price()));
    let writes = flaky.writes.load(Ordering::SeqCst);
    assert!(writes > 2, "{writes}");
}
