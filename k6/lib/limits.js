// Limits that every scenario has, beside its own: what it may cost, whether k6 itself kept up, and whether
// every visit came to its end.
// Must not know any scenario.

/**
 * What a limit in dollars is held against: what was billed, failed calls at the most that they may have cost;
 * then what has no known price and so cannot be held to a limit. perf-service knows them (runs/verdict.rs).
 */
export const LIMITS_IN_DOLLARS = ['llm_cost_at_most_usd', 'llm_cost_unknown', 'llm_failed_calls{priced:false}'];

/**
 * What holds for every run. A metric whose name begins with `generator_` judges k6 and not the
 * shop: perf-service takes such a limit, once crossed, for a run that proves nothing.
 *
 * @param {import('./types').Settings} settings
 * @returns {import('./types').Thresholds}
 */
export function standing({ maxCostUsd }) {
  /** @type {import('./types').Thresholds} */
  const limits = {
    'generator_lag_ms{phase:measured}': ['p(95)<250'],
    'visits_unfinished{phase:measured}': ['count<1'],
  };
  if (maxCostUsd !== undefined) {
    // k6 looks every two seconds; what was asked for until then is billed all the same.
    const [billed, ...unpriced] = LIMITS_IN_DOLLARS;
    limits[billed] = [{ threshold: `count<=${maxCostUsd}`, abortOnFail: true }];
    for (const name of unpriced) {
      limits[name] = [{ threshold: 'count<1', abortOnFail: true }];
    }
  }
  return limits;
}

/**
 * What one summary may take, as 95th percentile over all that were asked for; dollars by list price
 * too, which rehearses the limit with a simulator.
 *
 * @param {{tokens: number, dollars: number}} most
 * @returns {import('./types').Thresholds}
 */
export function perSummary({ tokens, dollars }) {
  return {
    'llm_tokens_per_request{phase:measured}': [`p(95)<${tokens}`],
    'llm_cost_usd_per_request{phase:measured}': [`p(95)<${dollars}`],
    'llm_list_cost_usd_per_request{phase:measured}': [`p(95)<${dollars}`],
  };
}
