//! The assembly: the only file that names adapters. Start in order, stop in reverse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http_server::{ApiToken, ListenError, TokenError};
use llm::{LlmError, ProviderName, Usd};
use secrecy::ExposeSecret;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::cache::memory::MemoryCache;
use crate::cache::observed::{Backend, ObservedCache};
use crate::cache::redis::RedisCache;
use crate::cache_aside::CacheAside;
use crate::catalog::Catalog;
use crate::experiments::outcomes::Record;
use crate::http::{self, Api, Parts};
use crate::import::{ImportError, Importer};
use crate::import_jobs::ImportJobs;
use crate::leases::Leases;
use crate::leases::local::LocalLeases;
use crate::leases::redis::RedisLeases;
use crate::limits::memory::MemoryLimits;
use crate::limits::redis::RedisLimits;
use crate::limits::{self, Bounds, Limits};
use crate::probes::Probes;
use crate::redis_link::{LinkError, RedisLink};
use crate::safety::Unsafe;
use crate::seed;
use crate::settings::Settings;
use crate::spend::{Counters, Policy, Spend};
use crate::standing::Standing;
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::mongo::{self, MongoStore};
use crate::store::observed::ObservedStore;
use crate::store::{Store, StoreError};
use crate::summaries::{Means, Summaries};

mod providers;

/// Longest wait at the end for answers that were paid for to be kept.
const WRITES_DEADLINE: Duration = Duration::from_millis(1_200);
/// Longest wait after it for all that is written last: what was spent, what experiments came to,
/// invalidations that failed.
const LAST_DEADLINE: Duration = Duration::from_millis(800);
/// What this service's keys in Redis begin with.
const NAMESPACE: &str = "bookstore";

/// How often expired things are deleted and half-done ones completed.
const TENDED_EVERY: Duration = Duration::from_secs(60);

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// MongoDB cannot be used.
    #[error(transparent)]
    Mongo(#[from] mongo::OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis cannot be used.
    #[error(
        "REDIS_URL: {0}; it looks like redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS"
    )]
    Redis(#[from] LinkError),
    /// A provider cannot be set up.
    #[error(transparent)]
    Provider(#[from] LlmError),
    /// A budget cannot bind what has no price.
    #[error(
        "no price is known of {0}, and so no budget in dollars can hold it: add it to a file that LLM_PRICES_FILE \
         names, or set LLM_DAILY_BUDGET_USD=none and give no tenant a dailyBudgetUsd"
    )]
    Unpriced(String),
    /// There is no API token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An import failed.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A file of the import cannot be used.
    #[error("{0}")]
    File(String),
    /// A check found contradictions in the store.
    #[error(
        "the store contradicts itself in {0} places, see above; export what is good, and import it into a fresh one"
    )]
    Inconsistent(usize),
}

impl AppError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Mongo(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Redis(error) => error.kind(),
            Self::Provider(error) => error.kind(),
            Self::Unpriced(_) => "unpriced",
            Self::Token(_) => "token",
            Self::Listen(error) => error.kind(),
            Self::Import(error) => error.kind(),
            Self::File(_) => "file",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}

/// The assembled service.
pub struct App {
    /// All routes.
    pub router: Router,
    /// Import, for the command line.
    pub importer: Importer,
    /// The store, for the command line.
    pub store: Arc<dyn Store>,
    standing: Standing,
    cache: CacheAside,
    writes: TaskTracker,
    spend: Spend,
    outcomes: Record,
}

impl App {
    /// Opens the store, loads the catalogue where wanted, and puts everything together. `stop`
    /// turns readiness off.
    ///
    /// # Errors
    /// When the store cannot be opened or a setting cannot be carried out.
    pub async fn start(
        settings: &Settings,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let store = open_store(settings, metrics.clone()).await?;
        let Shared { cache, leases, counters } = shared(settings, &metrics)?;
        // The first request finds a connection; or the log says now, once, that there is none.
        let _ = cache.ping().await;
        let cache = CacheAside::new(cache, metrics.clone(), settings.cache_time_to_live);
        let writes = TaskTracker::new();
        let catalog = Catalog::new(&store, cache.clone(), metrics.clone(), writes.clone());
        let importer = Importer::new(catalog.clone());
        if settings.seed_catalog {
            let books = seed::load(store.as_ref(), &importer).await?;
            if books > 0 {
                tracing::info!(books, "the catalogue was loaded into the fresh store");
            }
        }
        let providers = Arc::new(providers::assemble(&settings.llm, &metrics).await?);
        let models: Vec<(&'static str, &str)> =
            providers.models().map(|(provider, model)| (provider.as_str(), model)).collect();
        metrics.start_bookstore_series(&models);
        for experiment in settings.llm.experiments.iter() {
            let arms = experiment.variants.iter().map(|variant| variant.arm.arm.as_str());
            metrics.start_experiment_series(&experiment.name, arms);
        }
        let outcomes = Record::new(store.clone(), &writes, stop.clone());
        metrics.start_limit_series(&limits::NAMES);
        metrics.start_answer_series(&Unsafe::ALL.map(Unsafe::kind));
        let spend = Spend::new(
            policy(settings, &models)?,
            counters,
            store.clone(),
            metrics.clone(),
            Arc::new(chrono::Utc::now),
        );
        let prices = Arc::new(settings.llm.prices.clone());
        let probes = Probes::new(Arc::clone(&providers), prices, spend.clone(), settings.llm.delivery);
        let standing = Standing::new(
            store.clone(),
            cache.clone(),
            spend.clone(),
            Arc::clone(&providers),
            metrics.clone(),
        );
        let summaries = Summaries::new(Means {
            catalog: catalog.clone(),
            store: store.clone(),
            cache: cache.clone(),
            leases,
            providers,
            spend: spend.clone(),
            experiments: settings.llm.experiments.clone(),
            outcomes: outcomes.clone(),
            call_deadline: settings.llm.deadline,
            attempts: settings.llm.attempts,
            delivery: settings.llm.delivery,
            tasks: writes.clone(),
            metrics: metrics.clone(),
        });
        writes.spawn(tend(store.clone(), stop.clone()));
        let imports = ImportJobs::new(&importer, store.clone(), writes.clone(), stop.clone());
        let require_if_match = settings.require_if_match;
        let parts = Parts {
            catalog,
            summaries,
            probes,
            imports,
            spend: spend.clone(),
            standing: standing.clone(),
            require_if_match,
            stop,
        };
        let router = http::router(Api::from(parts), metrics, token(settings)?);
        Ok(Self { router, importer, store, standing, cache, writes, spend, outcomes })
    }

    /// Waits until answers that were paid for are kept.
    pub async fn finish(self) {
        self.writes.close();
        if tokio::time::timeout(WRITES_DEADLINE, self.writes.wait()).await.is_err() {
            tracing::error!("some summaries could not be kept in time");
        }
        let outcomes = tokio::time::timeout(LAST_DEADLINE, self.outcomes.write());
        let ((), outcomes, ()) =
            tokio::join!(self.spend.finish(LAST_DEADLINE), outcomes, self.cache.finish(LAST_DEADLINE));
        if !matches!(outcomes, Ok(Ok(()))) {
            tracing::warn!("the last outcomes of experiments could not be kept");
        }
    }
}

/// What instances share, where they have the same server.
struct Shared {
    cache: Arc<dyn Cache>,
    leases: Arc<dyn Leases>,
    counters: Counters,
}

/// Redis for all of them where it is set, which need not be up yet; else this process.
fn shared(settings: &Settings, metrics: &Metrics) -> Result<Shared, LinkError> {
    let offline: Arc<dyn Limits> = Arc::<MemoryLimits>::default();
    Ok(match &settings.redis_url {
        Some(url) => {
            let link = RedisLink::new(url)?;
            Shared {
                cache: Arc::new(ObservedCache::new(
                    RedisCache::new(link.clone(), NAMESPACE),
                    Backend::Redis,
                    metrics.clone(),
                )),
                leases: Arc::new(RedisLeases::new(link.clone(), NAMESPACE)),
                counters: Counters { shared: Arc::new(RedisLimits::new(link, NAMESPACE)), offline },
            }
        }
        None => Shared {
            cache: Arc::new(ObservedCache::new(
                MemoryCache::new(settings.cache_bytes),
                Backend::Process,
                metrics.clone(),
            )),
            leases: Arc::<LocalLeases>::default(),
            counters: Counters { shared: Arc::clone(&offline), offline },
        },
    })
}

/// Who may spend what. A budget that could not bind one of `models`, because nobody knows what it costs, is
/// refused at the start: later it would be every request's failure.
fn policy(settings: &Settings, models: &[(&'static str, &str)]) -> Result<Policy, AppError> {
    let llm = &settings.llm;
    let global = Bounds {
        daily_nanos: llm.daily_budget_usd.and_then(Usd::from_decimal).map(Usd::nanos),
        tokens_per_minute: llm.tokens_per_minute,
        requests_per_minute: None,
    };
    let policy = Policy { tenants: llm.tenants.clone(), global, counts: llm.budgets_count };
    let unpriced = models.iter().filter(|(name, model)| {
        ProviderName::parse(name)
            .is_some_and(|provider| policy.lacks_price(provider, &llm.prices.most(provider, model, 1, 1)))
    });
    let unpriced: Vec<String> = unpriced.map(|(name, model)| format!("{model} of {name}")).collect();
    if unpriced.is_empty() { Ok(policy) } else { Err(AppError::Unpriced(unpriced.join(", "))) }
}

/// Opens the store that the settings name; the embedded one off the async threads, for a first start
/// writes the schema.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_store(settings: &Settings, metrics: Metrics) -> Result<Arc<dyn Store>, AppError> {
    if let Some(uri) = &settings.mongodb_uri {
        let pool = metrics.connection_pool("mongodb");
        let store = MongoStore::open_counted(uri.expose_secret(), pool).await?;
        return Ok(Arc::new(ObservedStore::new(store, "mongodb", metrics)));
    }
    let folder = settings.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&folder)).await;
    let store = opened.map_err(|error| StoreError::Unavailable(error.to_string()))??;
    Ok(Arc::new(ObservedStore::new(store, "sqlite", metrics)))
}

/// Tends the store now and every minute until `stop`.
async fn tend(store: Arc<dyn Store>, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(store.tend()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the store could not be tended; it is tried again in a minute");
            }
            None => return,
        }
        if stop.run_until_cancelled(tokio::time::sleep(TENDED_EVERY)).await.is_none() {
            return;
        }
    }
}

/// None on loopback unless one was given; elsewhere, and where other names than loopback's lead here
/// (a proxy on this machine), there is always one.
fn token(settings: &Settings) -> Result<Option<ApiToken>, AppError> {
    if let Some(token) = &settings.api_token {
        return Ok(Some(ApiToken::given(token.clone())));
    }
    if settings.listen.is_private() {
        return Ok(None);
    }
    let (token, new) = ApiToken::kept_in(&settings.data_dir)?;
    if new {
        // Shown this once, as Jupyter does; it is never logged.
        eprintln!("bookstore-api: writes need this API token: {}", token.reveal());
    }
    Ok(Some(token))
}

/// Serves until a stop signal.
///
/// # Errors
/// When the service cannot start.
pub async fn serve(settings: &Settings, metrics: Metrics) -> Result<(), AppError> {
    let started = Instant::now();
    let stop = http_server::cancel_on_signal();
    // The port first: a second instance must not touch the store of the one that has it.
    let listener = http_server::bind(&settings.listen).await?;
    let app = App::start(settings, metrics.clone(), stop.clone()).await?;
    app.writes.spawn(app.standing.clone().watch(stop.clone()));
    let address = listener.local_addr();
    tracing::info!(%address, start_ms = crate::summaries::milliseconds(started.elapsed()), "ready");
    http_server::serve(listener, app.router.clone(), metrics, stop).await?;
    app.finish().await;
    Ok(())
}
