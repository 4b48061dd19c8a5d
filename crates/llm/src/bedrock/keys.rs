//! Credentials of the usual chain: environment, shared files, web identity, container, machine.
//!
//! Owns when they are looked for and how long. Where there are none, the last link of the chain waits
//! for an address that nobody has; a request must not, so the search has a limit, is made once at the
//! start, and that it found nothing holds for a while. What was found is kept by the SDK's own cache
//! until it expires.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use tokio::time::{Instant, timeout};

/// Longest search; the SDK itself gives up after five seconds and then forgets why.
const LONGEST_SEARCH: Duration = Duration::from_secs(4);
/// How long it holds that there are none.
const ABSENCE: Duration = Duration::from_secs(30);

/// Credentials, looked for within a limit.
pub(super) struct Keys<P> {
    inner: P,
    /// When they were looked for last, and not found.
    absent: Mutex<Option<Instant>>,
}

impl Keys<DefaultCredentialsChain> {
    /// Those of the environment, which have been looked for once.
    pub(super) async fn of_environment(region: Option<Region>) -> Self {
        let mut chain = DefaultCredentialsChain::builder();
        chain.set_region(region);
        let keys = Self::new(chain.build().await);
        // Whatever comes of it: it is told by the call that needs them.
        let _ = keys.search().await;
        keys
    }
}

impl<P: ProvideCredentials> Keys<P> {
    /// Those of `inner`.
    pub(super) const fn new(inner: P) -> Self {
        Self { inner, absent: Mutex::new(None) }
    }

    async fn search(&self) -> provider::Result {
        let known = *self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|since| since.elapsed() < ABSENCE) {
            return Err(CredentialsError::not_loaded("there were none a moment ago"));
        }
        let found = timeout(LONGEST_SEARCH, self.inner.provide_credentials())
            .await
            .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LONGEST_SEARCH)));
        let absent = found.is_err().then(Instant::now);
        *self.absent.lock().unwrap_or_else(PoisonError::into_inner) = absent;
        found
    }
}

impl<P: ProvideCredentials> ProvideCredentials for Keys<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.search())
    }
}

impl<P> fmt::Debug for Keys<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, future};
    use tokio::time::{Duration, Instant, advance};

    use super::{ABSENCE, Keys, LONGEST_SEARCH};

    /// Never answers, then has none, then has some.
    #[derive(Debug, Default)]
    struct Machine(AtomicU32);

    impl ProvideCredentials for &'static Machine {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => future::ProvideCredentials::new(std::future::pending()),
                1 => future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none"))),
                _ => future::ProvideCredentials::ready(Ok(Credentials::from_keys("id", "secret", None))),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_ends_and_its_failure_holds_for_a_while() {
        let machine: &'static Machine = Box::leak(Box::default());
        let keys = Keys::new(machine);
        let started = Instant::now();
        assert!(keys.provide_credentials().await.is_err());
        assert!(started.elapsed() < LONGEST_SEARCH + Duration::from_secs(1));
        let again = Instant::now();
        assert!(keys.provide_credentials().await.is_err());
        assert_eq!((again.elapsed(), machine.0.load(Ordering::SeqCst)), (Duration::ZERO, 1));
        advance(ABSENCE).await;
        assert!(keys.provide_credentials().await.is_err());
        advance(ABSENCE).await;
        assert!(keys.provide_credentials().await.is_ok());
        assert!(keys.provide_credentials().await.is_ok());
        assert_eq!(machine.0.load(Ordering::SeqCst), 4);
    }
}
