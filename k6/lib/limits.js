// Limits that every scenario has, beside its own: what it may cost, whether k6 itself kept up, and whether
// every visit came to its end.
// Must not know any scenario.

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
    limits.llm_cost_usd = [{ threshold: `count<=${maxCostUsd}`, abortOnFail: true }];
    // What has no known price cannot be held to a limit.
    limits.llm_cost_unknown = [{ threshold: 'count<1', abortOnFail: true }];
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
