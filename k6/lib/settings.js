// What a run can be told from outside, read from the environment in this file and nowhere else.
// Must not know any scenario: each gives its own defaults.

/** @type {Record<string, number>} */
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };
// Under constant arrival a visitor waits for nobody: so many seconds of arrivals may pile up behind a
// slow server before k6 runs out of users and has to drop some.
const PILE_SECONDS = 5;
const MOST_USERS = 10000;

/**
 * Settings of a run; `defaults` are the scenario's own. All mistakes at once.
 *
 * @param {import('./types').Defaults} defaults
 * @returns {import('./types').Settings}
 */
export function readSettings(defaults) {
  /** @type {string[]} */
  const mistakes = [];
  /**
   * @template Value
   * @template {Value | undefined} Fallback
   * @param {string} name
   * @param {Fallback} fallback
   * @param {(text: string) => Value | null} parse
   * @param {string} wanted
   * @returns {Value | Fallback}
   */
  const read = (name, fallback, parse, wanted) => {
    const text = (__ENV[name] || '').trim();
    if (text === '') {
      return fallback;
    }
    const value = parse(text);
    if (value === null) {
      mistakes.push(`${name}=${text}: give ${wanted}`);
      return fallback;
    }
    return value;
  };
  const rate = read('RATE', defaults.rate, (text) => parseNumber(text, 0, 10000), 'visits a second above 0, up to 10000');
  const pool = rate === undefined ? defaults.users : Math.min(MOST_USERS, Math.max(defaults.users, Math.ceil(rate * PILE_SECONDS)));
  /** @type {import('./types').Settings} */
  const settings = {
    baseUrl: read('BASE_URL', 'http://127.0.0.1:7002', parseUrl, 'a URL such as http://127.0.0.1:7002'),
    seconds: read('DURATION', defaults.seconds, parseSeconds, 'a duration from 1s to 24h, such as 15s or 2m'),
    users: read('USERS', pool, (text) => parseWhole(text, 1, MOST_USERS), `a whole number from 1 to ${MOST_USERS}`),
    rate,
    p95Ms: read('MAX_P95_MS', defaults.p95Ms, (text) => parseNumber(text, 0, 1e9), 'milliseconds above 0'),
    provider: read('PROVIDER', undefined, parseName, 'the name of a provider, such as ollama'),
    maxCostUsd: read('MAX_COST_USD', undefined, (text) => (text === '0' ? 0 : parseNumber(text, 0, 1e6)), 'dollars from 0 up to 1000000'),
    token: read('API_TOKEN', undefined, (text) => text, 'the API_TOKEN of the service'),
    spentTenant: read('SPENT_TENANT', 'load-test-spent', parseName, 'the name of a tenant'),
    start: read('START', 'found', parseStart, 'found or warm'),
    seed: read('SEED', '1', (text) => text, 'any text'),
    summary: read('SUMMARY', 'text', parseSummary, 'json or text'),
  };
  if (mistakes.length > 0) {
    throw new Error(mistakes.join('; '));
  }
  return settings;
}

/**
 * @param {string} text
 * @returns {'found' | 'warm' | null}
 */
function parseStart(text) {
  return text === 'found' || text === 'warm' ? text : null;
}

/**
 * @param {string} text
 * @returns {'json' | 'text' | null}
 */
function parseSummary(text) {
  return text === 'json' || text === 'text' ? text : null;
}

/** @param {string} text */
function parseUrl(text) {
  return /^https?:\/\/[^\s/?#]+(\/[^\s?#]*)?$/.test(text) ? text.replace(/\/+$/, '') : null;
}

/** @param {string} text */
function parseName(text) {
  return /^[A-Za-z0-9_-]+$/.test(text) ? text : null;
}

/**
 * Above `over`, up to `most`.
 *
 * @param {string} text
 * @param {number} over
 * @param {number} most
 */
function parseNumber(text, over, most) {
  const value = Number(text);
  return Number.isFinite(value) && value > over && value <= most ? value : null;
}

/**
 * @param {string} text
 * @param {number} least
 * @param {number} most
 */
function parseWhole(text, least, most) {
  const value = Number(text);
  return Number.isInteger(value) && value >= least && value <= most ? value : null;
}

/**
 * k6's own notation (90s, 1m30s) and plain seconds.
 *
 * @param {string} text
 */
function parseSeconds(text) {
  const seconds = secondsOf(text);
  return seconds >= 1 && seconds <= 86400 ? seconds : null;
}

/**
 * A duration as k6 writes it; 0 for what is none.
 *
 * @param {string} text
 */
export function secondsOf(text) {
  let seconds = 0;
  if (/^\d+(\.\d+)?$/.test(text)) {
    seconds = Number(text);
  } else if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
      seconds += Number(number) * UNITS[unit];
    }
  }
  return seconds;
}
