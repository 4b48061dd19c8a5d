// A short warm-up, then the measured load: two k6 scenarios told apart by the tag `phase`.
// Must not know what the load does nor which limits it has.

const LONGEST_WARM_UP_SECONDS = 5;
// Long enough for an LLM to finish its sentence; what is cut off after that is not counted.
const GRACE = '30s';

/** Seconds of warm-up before `seconds` of measured load: a fifth, but k6 takes no scenario under a second. */
function warmUpSeconds(seconds) {
  return Math.max(1, Math.min(LONGEST_WARM_UP_SECONDS, seconds / 5));
}

/** The k6 options that every scenario with steady users has. */
export function phases({ seconds, users }) {
  const warmUp = milliseconds(warmUpSeconds(seconds));
  const steady = { executor: 'constant-vus', vus: users, gracefulStop: GRACE };
  return {
    scenarios: {
      warmup: { ...steady, duration: warmUp, tags: { phase: 'warmup' } },
      measured: { ...steady, duration: milliseconds(seconds), startTime: warmUp, tags: { phase: 'measured' } },
    },
    // Without `url`, `ip` and their like: they would make a time series of every book.
    systemTags: ['scenario', 'group', 'name', 'method', 'status', 'error', 'error_code', 'expected_response', 'check'],
    summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
    userAgent: 'bookstore-load',
    setupTimeout: '2m',
  };
}

function milliseconds(seconds) {
  return `${Math.round(seconds * 1000)}ms`;
}
