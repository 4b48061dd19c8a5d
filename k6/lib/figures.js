// The figures at the end of a run: one line of JSON for perf-service, or a text for people.
// Must not know any scenario. Warm-up is left out of all of them.
import { LIMITS_IN_DOLLARS } from './limits.js';
import { GRACE_SECONDS } from './phases.js';

// k6 hands over the figures of a tag only where a threshold names it; an empty one names it and asks nothing.
const MEASURED = 'phase:measured';
export const figures = Object.fromEntries(
  [
    `http_reqs{${MEASURED}}`,
    `http_req_failed{${MEASURED}}`,
    `http_req_duration{${MEASURED}}`,
    `http_req_duration{${MEASURED},llm:false}`,
    `http_req_duration{${MEASURED},llm:true}`,
    `checks{${MEASURED}}`,
    `llm_summaries{${MEASURED}}`,
    `llm_summaries{${MEASURED},cached:true}`,
    `llm_summaries{${MEASURED},simulated:true}`,
    `llm_input_tokens{${MEASURED}}`,
    `llm_output_tokens{${MEASURED}}`,
    `llm_cost_usd{${MEASURED}}`,
    `llm_list_cost_usd{${MEASURED}}`,
    `llm_cost_unknown{${MEASURED}}`,
    `llm_failed_calls{${MEASURED}}`,
    `llm_first_chunk_ms{${MEASURED}}`,
    `llm_generation_ms{${MEASURED}}`,
    `llm_tokens_per_request{${MEASURED}}`,
    `llm_list_cost_usd_per_request{${MEASURED}}`,
    `generator_lag_ms{${MEASURED}}`,
    `visits_unfinished{${MEASURED}}`,
  ].map((name) => [name, /** @type {string[]} */ ([])]),
);

/**
 * What handleSummary is to return: where k6 writes which text.
 *
 * @param {string} scenario
 * @param {import('./types').Settings} settings
 * @param {any} data
 */
export function showSummary(scenario, settings, data) {
  if (settings.summary === 'json') {
    // Without the catalogue, which can be 5,000 ids long.
    const { setup_data: _, ...rest } = data;
    return { stdout: `${JSON.stringify({ type: 'Summary', data: rest })}\n` };
  }
  return { stdout: text(scenario, settings, data) };
}

/**
 * @param {string} scenario
 * @param {import('./types').Settings} settings
 * @param {any} data
 */
function text(scenario, settings, data) {
  /** @type {Value} */
  const value = (name, tags, figure) => {
    const metric = data.metrics[`${name}{${[MEASURED, ...tags].join(',')}}`];
    return metric && metric.values[figure] !== undefined ? metric.values[figure] : 0;
  };
  const requests = value('http_reqs', [], 'count');
  const failed = value('http_req_failed', [], 'passes');
  const asked = value('llm_summaries', [], 'count');
  const simulated = value('llm_summaries', ['simulated:true'], 'count');
  const dropped = data.metrics.dropped_iterations ? data.metrics.dropped_iterations.values.count : 0;
  const times = (/** @type {string[]} */ tags) =>
    ['med', 'p(90)', 'p(95)', 'p(99)', 'max'].map((f) => `${f} ${ms(value('http_req_duration', tags, f))}`).join('   ');

  // None where the setup gave up; nothing was measured then, either.
  const window = data.metrics.measured_seconds ? data.metrics.measured_seconds.values.value : 0;
  const lines = [
    `${scenario} against ${settings.baseUrl}, ${load(settings)}, ${Number(window.toFixed(1))} s measured`,
    '',
    row('requests', `${count(requests)}   ${(requests / Math.max(1, window)).toFixed(1)} a second`),
    row('failed', `${count(failed)}   ${percent(failed, requests)}`),
    row('failed checks', count(value('checks', [], 'fails'))),
  ];
  if (requests > 0) {
    lines.push(row('durations', times([])));
  }
  if (requests > asked) {
    lines.push(row('  without LLM', times(['llm:false'])));
  }
  if (asked > 0) {
    const cached = value('llm_summaries', ['cached:true'], 'count');
    lines.push(
      row('  with LLM', times(['llm:true'])),
      row('summaries', `${count(asked)}   ${percent(cached, asked)} from cache or store`),
      row('tokens', `${count(value('llm_input_tokens', [], 'count'))} in   ${count(value('llm_output_tokens', [], 'count'))} out`),
      row('  a summary', `med ${count(value('llm_tokens_per_request', [], 'med'))} tokens   p(95) ${count(value('llm_tokens_per_request', [], 'p(95)'))}   list price p(95) ${dollars(value('llm_list_cost_usd_per_request', [], 'p(95)'))}`),
      row('dollars', cost(asked, value) + (simulated > 0 ? `   ${count(simulated)} of ${count(asked)} simulated` : '')),
    );
    if (asked > cached) {
      lines.push(row('first chunk', `med ${ms(value('llm_first_chunk_ms', [], 'med'))}   p(95) ${ms(value('llm_first_chunk_ms', [], 'p(95)'))}`));
    }
  }
  const failedCalls = value('llm_failed_calls', [], 'count');
  if (failedCalls > 0) {
    lines.push(row('', `${count(failedCalls)} failed calls may have been billed, too`));
  }
  if (requests === 0) {
    lines.push('  Nothing was measured, so the thresholds below say nothing.');
  }
  const unfinished = value('visits_unfinished', [], 'count');
  if (LIMITS_IN_DOLLARS.some((name) => broken(data.metrics[name]))) {
    lines.push(row('stopped', 'the limit in dollars was reached; what was under way is in no figure above'));
  } else if (unfinished > 0) {
    lines.push(row('cut off', `${count(unfinished)} visits: unanswered ${GRACE_SECONDS} s after the load, and in no figure above`));
  }
  if (data.metrics.generator_lag_ms && value('generator_lag_ms', [], 'count') > 0) {
    lines.push(row('k6 was late', `p(95) ${ms(value('generator_lag_ms', [], 'p(95)'))}   max ${ms(value('generator_lag_ms', [], 'max'))}`));
  }
  lines.push(row('dropped', `${count(dropped)} iterations${dropped > 0 ? ': k6 fell behind, do not trust the figures' : ''}`), '', 'thresholds');
  for (const [name, metric] of Object.entries(data.metrics).sort()) {
    /** @type {[string, {ok: boolean}][]} */
    const thresholds = Object.entries(metric.thresholds || {});
    for (const [expression, { ok }] of thresholds) {
      const verdict = !ok ? 'BROKEN' : untested(metric) ? 'not tested' : 'held';
      lines.push(`  ${verdict.padEnd(10)}  ${name}: ${expression}`);
    }
  }
  return `\n${lines.join('\n')}\n\n`;
}

/** @param {any} metric */
function broken(metric) {
  /** @type {{ok: boolean}[]} */
  const thresholds = Object.values((metric && metric.thresholds) || {});
  return thresholds.some(({ ok }) => !ok);
}

/**
 * Whether there was nothing to hold a threshold against. Of a counter nothing is a figure, too: none.
 *
 * @param {any} metric
 */
function untested({ type, values }) {
  return type === 'trend' ? values.count === 0 : type === 'rate' && values.passes + values.fails === 0;
}

/** @param {import('./types').Settings} settings */
function load({ users, rate }) {
  const crowd = `${users} ${users === 1 ? 'user' : 'users'}`;
  return rate === undefined ? crowd : `${rate} visits a second, ${crowd} at most`;
}

/**
 * An unknown price is unknown, never zero.
 *
 * @typedef {(name: string, tags: string[], figure: string) => number} Value
 * @param {number} asked
 * @param {Value} value
 */
function cost(asked, value) {
  const unknown = value('llm_cost_unknown', [], 'count');
  if (unknown >= asked) {
    return 'not known';
  }
  const billed = `${dollars(value('llm_cost_usd', [], 'count'))} billed   ${dollars(value('llm_list_cost_usd', [], 'count'))} by list price`;
  return unknown > 0 ? `at least ${billed}   price of ${count(unknown)} of ${count(asked)} not known` : billed;
}

/**
 * @param {string} name
 * @param {string} value
 */
function row(name, value) {
  return `  ${name.padEnd(15)}${value}`;
}

/** @param {number} value */
function ms(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

/** @param {number} value */
function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/**
 * @param {number} part
 * @param {number} whole
 */
function percent(part, whole) {
  return whole > 0 ? `${((100 * part) / whole).toFixed(2)} %` : 'none asked for';
}

/** @param {number} value */
function dollars(value) {
  return `$${value === 0 || value >= 1 ? value.toFixed(2) : value.toFixed(6)}`;
}
