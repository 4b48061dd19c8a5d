//! When a rule is on, counted from when the rules were put in force. Pure: it knows no clock.

use std::time::Duration;

/// When a rule is on: from a moment on, for some time or for good, once or again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// When it is on for the first time.
    pub from: Duration,
    /// For how long; for good where absent.
    pub lasting: Option<Duration>,
    /// From the beginning of one time to that of the next; there is only one where absent.
    pub every: Option<Duration>,
}

impl Schedule {
    /// Whether it is on so long after the rules were put in force.
    #[must_use]
    pub fn is_on(&self, elapsed: Duration) -> bool {
        let Some(since) = elapsed.checked_sub(self.from) else { return false };
        let since = match self.every {
            Some(every) if !every.is_zero() => Duration::from_nanos_u128(since.as_nanos() % every.as_nanos()),
            _ => since,
        };
        self.lasting.is_none_or(|lasting| since < lasting)
    }

    /// Whether it is never off.
    #[must_use]
    pub fn is_always(&self) -> bool {
        let unending = match (self.lasting, self.every) {
            (None, _) => true,
            (Some(lasting), Some(every)) => lasting >= every,
            (Some(_), None) => false,
        };
        self.from.is_zero() && unending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;

    fn schedule(from: u64, lasting: Option<u64>, every: Option<u64>) -> Schedule {
        Schedule {
            from: Duration::from_secs(from),
            lasting: lasting.map(Duration::from_secs),
            every: every.map(Duration::from_secs),
        }
    }

    #[test]
    fn it_is_on_when_it_says() {
        for (schedule, on, always) in [
            (schedule(0, None, None), "##########", true),
            (schedule(3, None, None), "...#######", false),
            (schedule(3, Some(2), None), "...##.....", false),
            (schedule(0, Some(2), None), "##........", false),
            (schedule(1, Some(2), Some(4)), ".##..##..#", false),
            (schedule(0, Some(4), Some(4)), "##########", true),
        ] {
            let seen: String = (0..10)
                .map(|second| if schedule.is_on(Duration::from_secs(second)) { '#' } else { '.' })
                .collect();
            assert_eq!((seen.as_str(), schedule.is_always()), (on, always), "{schedule:?}");
        }
    }

    #[test]
    fn it_changes_to_the_nanosecond_and_after_years() {
        let schedule = schedule(0, Some(1), Some(2));
        let year = Duration::from_secs(2 * 31_536_000);
        for (elapsed, on) in [(999_999_999, true), (1_000_000_000, false), (2_000_000_000, true)] {
            let elapsed = Duration::from_nanos(elapsed);
            assert_eq!((schedule.is_on(elapsed), schedule.is_on(year + elapsed)), (on, on));
        }
    }
}
