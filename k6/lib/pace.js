// How visits follow each other, and how far k6 was behind it.
// Must not know what a visit does.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';

// How much later than due k6 went on: a generator that has too much to do under-reports latency.
const lag = new Trend('generator_lag_ms', true);
const LONGEST_THOUGHT = 10;

/**
 * At the beginning of a visit under constant arrival: it was due at its own time.
 *
 * @param {import('./types').Settings} settings
 */
export function arrive({ rate }) {
  if (rate !== undefined && isConstant()) {
    const { startTime, iterationInTest } = exec.scenario;
    lag.add(Math.max(0, Date.now() - startTime - (iterationInTest * 1000) / rate));
  }
}

/** @type {Record<string, boolean>} */
const constant = {};

/** Whether visits are due at equal distances; in a burst they are not. */
function isConstant() {
  const { name } = exec.scenario;
  if (constant[name] === undefined) {
    const scenario = (exec.test.options.scenarios || {})[name];
    constant[name] = scenario !== undefined && scenario.executor === 'constant-arrival-rate';
  }
  return constant[name];
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
  if (rate !== undefined) {
    return;
  }
  const wanted = Math.min(random.exponential(meanMs), meanMs * LONGEST_THOUGHT);
  const begin = Date.now();
  sleep(wanted / 1000);
  lag.add(Math.max(0, Date.now() - begin - wanted));
}
