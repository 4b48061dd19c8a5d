// What a run can be told from outside, read from the environment in this file and nowhere else.
// Must not know any scenario: each gives its own defaults.

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Settings of a run; `defaults` are the scenario's own {seconds, users, p95Ms}. All mistakes at once. */
export function readSettings(defaults) {
  const mistakes = [];
  const read = (name, fallback, parse, wanted) => {
    const text = (__ENV[name] || '').trim();
    if (text === '') {
      return fallback;
    }
    const value = parse(text);
    if (value === null) {
      mistakes.push(`${name}=${text}: give ${wanted}`);
    }
    return value;
  };
  const settings = {
    /** Where the API is, without a trailing slash. */
    baseUrl: read('BASE_URL', 'http://127.0.0.1:7002', parseUrl, 'a URL such as http://127.0.0.1:7002'),
    /** Seconds of measured load. */
    seconds: read('DURATION', defaults.seconds, parseSeconds, 'a duration from 1s to 24h, such as 15s or 2m'),
    /** Virtual users. */
    users: read('USERS', defaults.users, (text) => parseNumber(text, 1, 10000, true), 'a whole number from 1 to 10000'),
    /** 95th percentile in milliseconds that requests without an LLM must stay under. */
    p95Ms: read('MAX_P95_MS', defaults.p95Ms, (text) => parseNumber(text, 0, 1e9, false), 'milliseconds above 0'),
    /** LLM provider to ask; undefined leaves it to the API. */
    provider: read('PROVIDER', undefined, parseName, 'the name of a provider, such as ollama'),
    /** Token for what changes something or spends money; only an API beyond loopback asks for one. */
    token: read('API_TOKEN', undefined, (text) => text, 'the API_TOKEN of the service'),
    /** The same seed makes the same choices in the same order. */
    seed: read('SEED', '1', (text) => text, 'any text'),
    /** `text` for people, `json` for perf-service. */
    summary: read('SUMMARY', 'text', (text) => (text === 'json' || text === 'text' ? text : null), 'json or text'),
  };
  if (mistakes.length > 0) {
    throw new Error(mistakes.join('; '));
  }
  return settings;
}

function parseUrl(text) {
  return /^https?:\/\/[^\s/?#]+(\/[^\s?#]*)?$/.test(text) ? text.replace(/\/+$/, '') : null;
}

function parseName(text) {
  return /^[A-Za-z0-9_-]+$/.test(text) ? text : null;
}

function parseNumber(text, least, most, whole) {
  const value = Number(text);
  const fits = Number.isFinite(value) && value <= most && (whole ? Number.isInteger(value) && value >= least : value > least);
  return fits ? value : null;
}

// k6's own notation (90s, 1m30s) and plain seconds.
function parseSeconds(text) {
  let seconds = 0;
  if (/^\d+(\.\d+)?$/.test(text)) {
    seconds = Number(text);
  } else if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    for (const part of text.match(/\d+(\.\d+)?(ms|s|m|h)/g)) {
      const [, number, , unit] = /^(\d+(\.\d+)?)(ms|s|m|h)$/.exec(part);
      seconds += Number(number) * UNITS[unit];
    }
  }
  return seconds >= 1 && seconds <= 86400 ? seconds : null;
}
