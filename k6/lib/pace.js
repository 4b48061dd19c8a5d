// How visits follow each other, how far k6 was behind it, and which did not come to their end.
// Must not know what a visit does.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

import { UNIT_SECONDS } from './phases.js';
import { secondsOf } from './settings.js';

// How much later than due k6 went on: a generator that has too much to do under-reports latency.
const lag = new Trend('generator_lag_ms', true);
// One more where a visit begins, one less where it ends. k6 has no sample of a request that it cuts off when
// the grace after the load is over; what is left here are the visits that this befell.
const unfinished = new Counter('visits_unfinished');
const LONGEST_THOUGHT = 10;

/**
 * At the beginning of a visit: under arrivals it was due at a time of its own.
 */
export function arrive() {
  unfinished.add(1);
  const { name, startTime, iterationInTest } = exec.scenario;
  const due = dueMs(name, iterationInTest);
  if (due !== undefined) {
    lag.add(Math.max(0, Date.now() - startTime - due));
  }
}

/** @typedef {{seconds: number, from: number, to: number}} Slope visits a second, at its begin and its end */

/** @type {Record<string, {first: number, slopes: Slope[]}>} */
const arrivals = {};

/**
 * Milliseconds after the begin of its scenario at which a visit is due, from 0; undefined where users come
 * when they are done with the visit before.
 *
 * @param {string} name
 * @param {number} visit
 */
function dueMs(name, visit) {
  if (arrivals[name] === undefined) {
    arrivals[name] = planned((exec.test.options.scenarios || {})[name]);
  }
  const { first, slopes } = arrivals[name];
  let [due, left] = [0, visit + first];
  for (const { seconds, from, to } of slopes) {
    const visits = (seconds * (from + to)) / 2;
    if (left <= visits) {
      // What has come after t seconds is from * t + (to - from) / seconds * t² / 2; solved so that a flat
      // slope divides by nothing.
      const rate = Math.sqrt(from * from + (2 * left * (to - from)) / seconds);
      return left === 0 ? 1000 * due : 1000 * (due + (2 * left) / (from + rate));
    }
    left -= visits;
    due += seconds;
  }
  return undefined;
}

/**
 * How visits are to begin. k6 begins the first one at once where the rate is constant, and when a whole one
 * is due where it changes.
 *
 * @param {any} scenario
 * @returns {{first: number, slopes: Slope[]}}
 */
function planned(scenario) {
  const executor = scenario === undefined ? undefined : scenario.executor;
  if (executor === 'constant-arrival-rate') {
    const rate = scenario.rate / UNIT_SECONDS;
    return { first: 0, slopes: [{ seconds: Infinity, from: rate, to: rate }] };
  }
  if (executor !== 'ramping-arrival-rate') {
    return { first: 0, slopes: [] };
  }
  let from = scenario.startRate / UNIT_SECONDS;
  /** @type {{duration: string, target: number}[]} */
  const stages = scenario.stages;
  const slopes = stages.map(({ duration, target }) => {
    const slope = { seconds: secondsOf(duration), from, to: target / UNIT_SECONDS };
    from = slope.to;
    return slope;
  });
  return { first: 1, slopes };
}

/**
 * After a visit: a moment of thought, exponential around `meanMs`. Under arrival there is none, for
 * the next visitor is another one.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Random} random
 * @param {number} meanMs
 */
export function think({ rate }, random, meanMs) {
  unfinished.add(-1);
  if (rate !== undefined) {
    return;
  }
  const wanted = Math.min(random.exponential(meanMs), meanMs * LONGEST_THOUGHT);
  const begin = Date.now();
  sleep(wanted / 1000);
  lag.add(Math.max(0, Date.now() - begin - wanted));
}
