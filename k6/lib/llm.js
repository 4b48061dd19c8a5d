// What summaries cost: custom metrics taken from the API's own answers, since k6 sees neither tokens
// nor dollars. Must not know how the answers were asked for.
//
// Usage and cost in an answer are those of that request, zero when it came from the cache or the
// store; so sums over answers equal sums over provider calls.
import { Counter, Trend } from 'k6/metrics';

const summaries = new Counter('llm_summaries');
const inputTokens = new Counter('llm_input_tokens');
const outputTokens = new Counter('llm_output_tokens');
const costUsd = new Counter('llm_cost_usd');
const listCostUsd = new Counter('llm_list_cost_usd');
const costUnknown = new Counter('llm_cost_unknown');
const tokensPerRequest = new Trend('llm_tokens_per_request');
const costPerRequest = new Trend('llm_cost_usd_per_request');
const listCostPerRequest = new Trend('llm_list_cost_usd_per_request');
const firstChunkMs = new Trend('llm_first_chunk_ms', true);
const generationMs = new Trend('llm_generation_ms', true);

// Dollars that this user was billed for; each k6 user has a memory of its own.
let spentHere = 0;

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
 * Counts one answer of generate-summary, a poor one too: it was paid for.
 *
 * @param {any} answer
 */
export function countSummary(answer) {
  if (!answer.usage) {
    return;
  }
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
