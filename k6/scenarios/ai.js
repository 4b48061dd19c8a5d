// description: 10 users for 5 minutes who come for LLM summaries: cold, cached, stored, streamed, of each provider, without money
// duration: 5m
// users: 10
// spends: summaries
//
// Owns the size of the load, its limits and its pace. Must not know what a visitor does
// (lib/summaries.js) nor how figures are shown (lib/figures.js). Runs as it is: k6 run k6/scenarios/ai.js
import { readCatalogue, readProviders, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { perSummary, standing } from '../lib/limits.js';
import { common, steady } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';
import { useUpTenant, visitForSummaries } from '../lib/summaries.js';

const settings = readSettings({ seconds: 300, users: 10, p95Ms: 500 });

// Who has just got a summary reads it, if not to its end.
const THINK_TIME_MS = 300;

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: steady(settings),
  thresholds: {
    ...figures,
    ...standing(settings),
    ...perSummary({ tokens: 4000, dollars: 0.05 }),
    'http_req_failed{phase:measured}': ['rate<0.01'],
    'checks{phase:measured}': ['rate>0.99'],
    'http_req_duration{phase:measured,llm:false}': [`p(95)<${settings.p95Ms}`],
    // A local model on a laptop's processor writes a summary in tens of seconds: slow, not broken.
    'http_req_duration{phase:measured,arm:cold}': ['p(95)<45000'],
    'http_req_duration{phase:measured,arm:streamed}': ['p(95)<45000'],
    'http_req_duration{phase:measured,arm:provider}': ['p(95)<45000'],
    // No provider takes part in these.
    'http_req_duration{phase:measured,arm:cached}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,arm:stored}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,arm:budget}': [`p(95)<${settings.p95Ms}`],
    'llm_first_chunk_ms{phase:measured}': ['p(95)<30000'],
  },
};

export function setup() {
  const catalogue = readCatalogue(settings);
  catalogue.providers = readProviders(settings);
  catalogue.refusesSpent = useUpTenant(settings, catalogue);
  catalogue.readyAt = Date.now();
  return catalogue;
}

/** @param {import('../lib/types').Catalogue} catalogue */
export default function (catalogue) {
  visitForSummaries(settings, catalogue, THINK_TIME_MS);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function teardown(catalogue) {
  removeLeftovers(settings, catalogue);
}

/** @param {unknown} data */
export function handleSummary(data) {
  return showSummary('ai', settings, data);
}
