// What summaries cost: custom metrics taken from the API's own answers, since k6 sees neither tokens
// nor dollars. Must not know what a summary is asked for.
//
// Usage and cost in an answer are those of that request, zero when it came from the cache or the
// store; so sums over answers equal sums over provider calls.
//
// A call that failed says nothing of what it cost, and may have been paid for: an answer that is refused as
// unsafe is, one that came too late is. It counts as the most that a call may cost, in a sum of its own, which
// is what a limit in dollars is held against.
import { Counter, Trend } from 'k6/metrics';

import { send } from './requests.js';

const summaries = new Counter('llm_summaries');
const inputTokens = new Counter('llm_input_tokens');
const outputTokens = new Counter('llm_output_tokens');
const costUsd = new Counter('llm_cost_usd');
const listCostUsd = new Counter('llm_list_cost_usd');
const costUnknown = new Counter('llm_cost_unknown');
const costAtMostUsd = new Counter('llm_cost_at_most_usd');
const failedCalls = new Counter('llm_failed_calls');
const tokensPerRequest = new Trend('llm_tokens_per_request');
const costPerRequest = new Trend('llm_cost_usd_per_request');
const listCostPerRequest = new Trend('llm_list_cost_usd_per_request');
const firstChunkMs = new Trend('llm_first_chunk_ms', true);
const generationMs = new Trend('llm_generation_ms', true);

// Dollars that this user was billed for, at most; each k6 user has a memory of its own.
let spentHere = 0;
// By the provider that was asked for (none is the API's own choice): whether every answer was a simulator's.
/** @type {Record<string, boolean>} */
const simulatedHere = {};

// Tokens of one call, at most: as perf-service estimates it (crates/perf-service/src/billing.rs).
const PROMPT_TOKENS = 1500;
const ANSWER_TOKENS = 300;
// What the API answers before any provider has written anything; all else may have been paid for.
const UNPAID = [
  'llm_limit_reached',
  'llm_rate_limited',
  'llm_overloaded',
  'llm_unauthorized',
  'llm_bad_request',
  'budget_unavailable',
  'not_ready',
  'stopping',
  'overloaded',
];
// Under 500 the API blames the request, and asks no provider; but this one a provider has read.
const REFUSED_BY_PROVIDER = 'llm_refused';

/**
 * Whether this user may still ask for what may bill. k6 looks at the limit of the whole run every two
 * seconds; a single user does not go over it even in between, but by its last request.
 *
 * @param {import('./types').Settings} settings
 */
export function maySpend({ maxCostUsd }) {
  // With a limit of zero a simulator is asked, until one turns out to be none.
  return maxCostUsd === undefined || (maxCostUsd === 0 ? spentHere === 0 : spentHere < maxCostUsd);
}

/**
 * The most that a call of each provider may cost, by name, and of whichever the API chooses, by no name; null
 * where it has no known price.
 *
 * @param {any[]} providers as the API lists them
 * @returns {Record<string, number | null>}
 */
export function dearestCalls(providers) {
  /** @type {Record<string, number | null>} */
  const calls = {};
  for (const { name, configured, simulated, price } of providers) {
    if (configured) {
      const dollars = price ? (PROMPT_TOKENS * Number(price.input) + ANSWER_TOKENS * Number(price.output)) / 1e6 : NaN;
      calls[name] = simulated === true ? 0 : Number.isFinite(dollars) ? dollars : null;
    }
  }
  // Others are asked only by their name.
  const all = providers.filter((one) => one.configured && (one.default || one.fallback)).map(({ name }) => calls[name]);
  calls[''] = all.length === 0 || all.includes(null) ? null : Math.max(...all.map(Number));
  return calls;
}

/**
 * Asks for a summary and counts what came of it. `provider` is the one that is named in the path.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @param {import('./types').Ask} ask
 * @param {import('./types').Expectations} [expectations]
 * @param {string} [provider]
 * @returns {import('./types').Answer}
 */
export function sendForSummary(settings, catalogue, ask, expectations = {}, provider = settings.provider || '') {
  return send(settings, ask, expectations, (body, status) => {
    const whole = status === 200 && body && body.usage && (body.event === undefined || body.event === 'completed');
    if (whole) {
      countSummary(body);
      if (body.cached !== true) {
        simulatedHere[provider] = body.simulated === true && simulatedHere[provider] !== false;
      }
    } else if (mayBePaid(status, body || {}) && simulatedHere[provider] !== true) {
      countFailure(settings, catalogue.dearestCalls[provider], body && body.code);
    }
  });
}

/**
 * Whether a call that gave no summary may have to be paid for.
 *
 * @param {number} status
 * @param {any} problem
 */
function mayBePaid(status, problem) {
  // In a stream that has begun, the problem says its status itself.
  const told = status === 200 && problem.status ? problem.status : status;
  return told < 400 || (told >= 500 ? !UNPAID.includes(problem.code) : problem.code === REFUSED_BY_PROVIDER);
}

/**
 * @param {import('./types').Settings} settings
 * @param {number | null | undefined} dollars
 * @param {string | undefined} code
 */
function countFailure({ maxCostUsd }, dollars, code) {
  if (maxCostUsd === undefined || dollars === 0) {
    return;
  }
  const priced = typeof dollars === 'number';
  failedCalls.add(1, { priced: String(priced), code: code || 'none' });
  if (priced) {
    spentHere += dollars;
    costAtMostUsd.add(dollars);
  } else {
    // Of this nobody knows what is left of the limit.
    spentHere = Infinity;
  }
}

/**
 * Counts one answer of generate-summary, a poor one too: it was paid for.
 *
 * @param {any} answer
 */
function countSummary(answer) {
  const tags = {
    provider: answer.provider,
    model: answer.model,
    cached: String(answer.cached === true),
    simulated: String(answer.simulated === true),
    // Who counted the tokens: the provider, or the API by the text.
    usage: answer.usage.source,
  };
  const input = answer.usage.inputTokens || 0;
  const output = answer.usage.outputTokens || 0;
  summaries.add(1, tags);
  inputTokens.add(input, tags);
  outputTokens.add(output, tags);
  tokensPerRequest.add(input + output, tags);
  // An unknown price is unknown, never zero.
  if (typeof answer.costUsd === 'number') {
    spentHere += answer.costUsd;
    costUsd.add(answer.costUsd, tags);
    costAtMostUsd.add(answer.costUsd, tags);
    costPerRequest.add(answer.costUsd, tags);
  } else {
    costUnknown.add(1, tags);
  }
  if (typeof answer.listCostUsd === 'number') {
    listCostUsd.add(answer.listCostUsd, tags);
    listCostPerRequest.add(answer.listCostUsd, tags);
  }
  if (answer.cached !== true) {
    if (typeof answer.timeToFirstChunkMs === 'number') {
      firstChunkMs.add(answer.timeToFirstChunkMs, tags);
    }
    const made = answer.generation || answer;
    if (typeof made.latencyMs === 'number') {
      generationMs.add(made.latencyMs, tags);
    }
  }
}
