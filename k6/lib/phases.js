// A short warm-up, then the measured load: k6 scenarios told apart by the tag `phase`.
// Must not know what the load does nor which limits it has.
//
// Closed: users wait for each answer before they go on, so a slow server is asked less. Open (with a
// rate): visits begin when they are due, so a slow server's queue shows.
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';

import { secondsOf } from './settings.js';

// How long load was measured: what rates are taken over. As long as planned, whatever the answers took;
// shorter where the run was cut short.
const measuredSeconds = new Gauge('measured_seconds');

const LONGEST_WARM_UP_SECONDS = 5;
/**
 * Long enough for an LLM to finish its sentence. Whatever is cut off after that leaves no sample, and so a
 * run with such a visit proves nothing.
 */
export const GRACE_SECONDS = 30;
const GRACE = `${GRACE_SECONDS}s`;
// Of a burst's measured time: before it, on its way up, at its height, on its way back. The rest is after it.
const BURST = { before: 0.2, up: 0.05, height: 0.3, down: 0.05 };
// What is there before and after a burst, of what is there at its height.
const OUTSIDE_BURST = 0.1;

/**
 * Seconds of warm-up before `seconds` of measured load: a fifth, but k6 takes no scenario under a second.
 *
 * @param {number} seconds
 */
function warmUpSeconds(seconds) {
  return Math.max(1, Math.min(LONGEST_WARM_UP_SECONDS, seconds / 5));
}

/**
 * The same load all the time.
 *
 * @param {import('./types').Settings} settings
 * @returns {Record<string, import('k6/options').Scenario>}
 */
export function steady(settings) {
  const warmUp = warmUpSeconds(settings.seconds);
  return {
    warmup: { ...constant(settings, warmUp), tags: { phase: 'warmup' } },
    measured: { ...constant(settings, settings.seconds), startTime: milliseconds(warmUp), tags: { phase: 'measured' } },
  };
}

/**
 * Few users, then suddenly all of them, then few again.
 *
 * @param {import('./types').Settings} settings
 * @returns {Record<string, import('k6/options').Scenario>}
 */
export function burst(settings) {
  const { seconds, users, rate } = settings;
  const warmUp = warmUpSeconds(seconds);
  const height = rate === undefined ? users : rate;
  const outside = rate === undefined ? Math.max(1, Math.round(users * OUTSIDE_BURST)) : rate * OUTSIDE_BURST;
  const measured = {
    startTime: milliseconds(warmUp),
    tags: { phase: 'measured' },
    ...(rate === undefined
      ? /** @type {const} */ ({
          executor: 'ramping-vus',
          startVUs: outside,
          stages: burstStages(seconds, outside, height),
          gracefulRampDown: GRACE,
          gracefulStop: GRACE,
        })
      : /** @type {const} */ ({
          executor: 'ramping-arrival-rate',
          ...pool(users),
          ...aSecond(outside, 'startRate'),
          stages: burstStages(seconds, perUnit(outside), perUnit(height)),
          gracefulStop: GRACE,
        })),
  };
  const calm = { ...settings, users: rate === undefined ? outside : users, rate: rate === undefined ? undefined : outside };
  return { warmup: { ...constant(calm, warmUp), tags: { phase: 'warmup' } }, measured };
}

/**
 * Which part of a burst a visit at this share of the measured time belongs to: so that limits can
 * hold the shop to being as quick after it as before.
 *
 * @param {number} share
 */
export function partOfBurst(share) {
  const { before, up, height, down } = BURST;
  return share < before ? 'before' : share < before + up + height + down ? 'burst' : 'after';
}

/**
 * Loads one after another: a warm-up of the first, then each with its share of the time, told apart by the
 * tag `part`.
 *
 * @param {import('./types').Settings} settings
 * @param {{name: string, exec: string, users: number, share: number}[]} parts
 * @returns {Record<string, import('k6/options').Scenario>}
 */
export function sequence(settings, parts) {
  const warmUp = warmUpSeconds(settings.seconds);
  const all = parts.reduce((sum, part) => sum + part.share, 0);
  const most = Math.max(...parts.map((part) => part.users));
  const first = parts[0];
  /** @type {Record<string, import('k6/options').Scenario>} */
  const scenarios = {
    warmup: {
      ...constant(partOf(settings, first.users / most), warmUp),
      exec: first.exec,
      tags: { phase: 'warmup', part: first.name },
    },
  };
  let at = warmUp;
  for (const { name, exec, users, share } of parts) {
    const seconds = Math.max(1, (settings.seconds * share) / all);
    scenarios[name] = {
      ...constant(partOf(settings, users / most), seconds),
      exec,
      startTime: milliseconds(at),
      tags: { phase: 'measured', part: name },
    };
    at += seconds;
  }
  return scenarios;
}

/**
 * The most crowded part has the load that was asked for, the others their share of it.
 *
 * @param {import('./types').Settings} settings
 * @param {number} share
 */
function partOf(settings, share) {
  const { users, rate } = settings;
  return { ...settings, users: Math.max(1, Math.round(users * share)), rate: rate === undefined ? undefined : rate * share };
}

/**
 * At the end of all load, before anything else is asked: how long it was measured.
 *
 * @param {number} readyAt when the setup was over
 */
export function endOfLoad(readyAt) {
  const spans = Object.values(exec.test.options.scenarios || {})
    .filter(({ tags }) => tags !== undefined && tags.phase === 'measured')
    .map(span);
  const begin = Math.min(...spans.map(({ from }) => from));
  const end = Math.max(...spans.map(({ to }) => to));
  const now = (Date.now() - readyAt) / 1000;
  measuredSeconds.add(Math.max(0, Math.min(end, now) - begin));
}

/**
 * From when to when a k6 scenario begins visits, in seconds of the run.
 *
 * @param {any} scenario
 */
function span({ startTime, duration, stages }) {
  const from = secondsOf(startTime || '');
  /** @type {{duration: string}[]} */
  const parts = stages || [{ duration }];
  return { from, to: parts.reduce((at, part) => at + secondsOf(part.duration), from) };
}

/**
 * The k6 options that every scenario has beside its load and its limits.
 *
 * @type {import('k6/options').Options}
 */
export const common = {
  // Without `url`, `ip` and their like: they would make a time series of every book.
  systemTags: ['scenario', 'group', 'name', 'method', 'status', 'error', 'error_code', 'expected_response', 'check'],
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
  userAgent: 'bookstore-load',
  setupTimeout: '2m',
};

/**
 * @param {import('./types').Settings} settings
 * @param {number} seconds
 */
function constant({ users, rate }, seconds) {
  const duration = milliseconds(seconds);
  return rate === undefined
    ? /** @type {const} */ ({ executor: 'constant-vus', vus: users, duration, gracefulStop: GRACE })
    : /** @type {const} */ ({
        executor: 'constant-arrival-rate',
        ...pool(users),
        ...aSecond(rate, 'rate'),
        duration,
        gracefulStop: GRACE,
      });
}

// All of them from the start: k6 would be late with users that it has to make first.
/** @param {number} users */
function pool(users) {
  return { preAllocatedVUs: users, maxVUs: users };
}

/** k6 takes whole rates only, so they are given by as many seconds. */
export const UNIT_SECONDS = 1000;

/** @param {number} rate */
function perUnit(rate) {
  return Math.max(1, Math.round(rate * UNIT_SECONDS));
}

/**
 * @template {'rate' | 'startRate'} Name
 * @param {number} rate
 * @param {Name} name
 * @returns {Record<Name, number> & {timeUnit: string}}
 */
function aSecond(rate, name) {
  return /** @type {any} */ ({ [name]: perUnit(rate), timeUnit: `${UNIT_SECONDS}s` });
}

/**
 * @param {number} seconds
 * @param {number} outside
 * @param {number} height
 */
function burstStages(seconds, outside, height) {
  const { before, up, height: top, down } = BURST;
  /** @type {[number, number][]} */
  const stages = [
    [before, outside],
    [up, height],
    [top, height],
    [down, outside],
    [1 - before - up - top - down, outside],
  ];
  return stages.map(([share, target]) => ({ duration: milliseconds(seconds * share), target }));
}

/** @param {number} seconds */
function milliseconds(seconds) {
  return `${Math.round(seconds * 1000)}ms`;
}
