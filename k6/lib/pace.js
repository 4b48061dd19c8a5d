// How visits follow each other, how far k6 was behind it, and which did not come to their end.
// Must not know what a visit does.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

import { UNIT_SECONDS } from './phases.js';

// How much later than due k6 went on: a generator that has too much to do under-reports latency.
const lag = new Trend('generator_lag_ms', true);
// One more where a visit begins, one less where it ends. k6 has no sample of a request that it cuts off when
// the grace after the load is over; what is left here are the visits that this befell.
const unfinished = new Counter('visits_unfinished');
const LONGEST_THOUGHT = 10;

/**
 * At the beginning of a visit: under constant arrival it was due at a time of its own.
 */
export function arrive() {
  unfinished.add(1);
  const distance = distanceMs();
  if (distance > 0) {
    const { startTime, iterationInTest } = exec.scenario;
    lag.add(Math.max(0, Date.now() - startTime - iterationInTest * distance));
  }
}

/** @type {Record<string, number>} */
const distances = {};

/** Milliseconds between the beginnings of visits; 0 where they are not due at equal distances. */
function distanceMs() {
  const { name } = exec.scenario;
  if (distances[name] === undefined) {
    const scenario = (exec.test.options.scenarios || {})[name];
    const arrivals = scenario !== undefined && scenario.executor === 'constant-arrival-rate' ? scenario : undefined;
    distances[name] = arrivals ? (UNIT_SECONDS * 1000) / arrivals.rate : 0;
  }
  return distances[name];
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
