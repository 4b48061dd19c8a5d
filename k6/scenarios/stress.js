// description: 30 users for 15 minutes, with little thought between visits: more than an ordinary day brings
// duration: 15m
// users: 30
// spends: summaries
//
// Owns the size of the load, its limits and its pace. Must not know what a visitor does
// (lib/shop.js) nor how figures are shown (lib/figures.js). Runs as it is: k6 run k6/scenarios/stress.js
import { readCatalogue, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { perSummary, standing } from '../lib/limits.js';
import { common, steady } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';
import { visit } from '../lib/shop.js';

const settings = readSettings({ seconds: 900, users: 30, p95Ms: 1000 });

// A visitor looks at a page for a moment; half a minute, as people do, would take a hundred times the users.
const THINK_TIME_MS = 200;

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
    'http_req_duration{phase:measured,llm:true}': ['p(95)<45000'],
  },
};

export function setup() {
  return readCatalogue(settings);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export default function (catalogue) {
  visit(settings, catalogue, THINK_TIME_MS);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function teardown(catalogue) {
  removeLeftovers(settings, catalogue);
}

/** @param {unknown} data */
export function handleSummary(data) {
  return showSummary('stress', settings, data);
}
