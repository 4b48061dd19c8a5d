// description: 60 visits a second for 15 minutes, whatever became of the earlier ones: a slow shop cannot hide its queue
// duration: 15m
// users: 30
// rate: 60
// spends: summaries
//
// Owns the size of the load, its limits and its pace. Must not know what a visitor does
// (lib/shop.js) nor how figures are shown (lib/figures.js). Runs as it is: k6 run k6/scenarios/stress-arrivals.js
import { readCatalogue, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { perSummary, standing } from '../lib/limits.js';
import { common, steady } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';
import { visit } from '../lib/shop.js';

const settings = readSettings({ seconds: 900, users: 30, rate: 60, p95Ms: 1000 });

// Of no use here: under constant arrival the next visitor is another one. Stands for RATE left out.
const THINK_TIME_MS = 0;

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
  return showSummary('stress-arrivals', settings, data);
}
