// description: a burst to 50 users and back within 5 minutes: does the shop come through, and is it as quick again afterwards
// duration: 5m
// users: 50
// spends: summaries
//
// Owns the size of the load, its limits and its pace. Must not know what a visitor does
// (lib/shop.js) nor how figures are shown (lib/figures.js). Runs as it is: k6 run k6/scenarios/spike.js
import exec from 'k6/execution';

import { readCatalogue, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { perSummary, standing } from '../lib/limits.js';
import { burst, common, partOfBurst } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';
import { visit } from '../lib/shop.js';

const settings = readSettings({ seconds: 300, users: 50, p95Ms: 500 });

// A visitor looks at a page for a moment; half a minute, as people do, would take a hundred times the users.
const THINK_TIME_MS = 500;

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: burst(settings),
  thresholds: {
    ...figures,
    ...standing(settings),
    ...perSummary({ tokens: 4000, dollars: 0.05 }),
    'http_req_failed{phase:measured}': ['rate<0.01'],
    'checks{phase:measured}': ['rate>0.99'],
    // After the burst the shop is to be as quick as before it; at its height it may be slower.
    'http_req_duration{phase:measured,llm:false,part:before}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:burst}': [`p(95)<${4 * settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:after}': [`p(95)<${settings.p95Ms}`],
    // A local model on a laptop's processor writes a summary in tens of seconds: slow, not broken.
    'http_req_duration{phase:measured,llm:true}': ['p(95)<45000'],
  },
};

export function setup() {
  return readCatalogue(settings);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export default function (catalogue) {
  exec.vu.metrics.tags.part = exec.scenario.name === 'warmup' ? 'before' : partOfBurst(exec.scenario.progress);
  visit(settings, catalogue, THINK_TIME_MS);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function teardown(catalogue) {
  removeLeftovers(settings, catalogue);
}

/** @param {unknown} data */
export function handleSummary(data) {
  return showSummary('spike', settings, data);
}
