// description: 5 users for 2 minutes who do everything wrong: is every mistake answered by the right problem, and as quickly
// duration: 2m
// users: 5
// spends: nothing
//
// Owns the size of the load, its limits and its pace. Must not know what is done wrong
// (lib/mistakes.js) nor how figures are shown (lib/figures.js). Runs as it is: k6 run k6/scenarios/errors.js
import { readCatalogue, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { standing } from '../lib/limits.js';
import { visitWithMistakes } from '../lib/mistakes.js';
import { common, steady } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';

const settings = readSettings({ seconds: 120, users: 5, p95Ms: 500 });

const THINK_TIME_MS = 100;

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: steady(settings),
  thresholds: {
    ...figures,
    ...standing(settings),
    // A mistake that is answered as it should be is no failure; one that is not, is.
    'http_req_failed{phase:measured}': ['rate<0.01'],
    'checks{phase:measured}': ['rate>0.99'],
    'http_req_duration{phase:measured,llm:false}': [`p(95)<${settings.p95Ms}`],
    // Nobody is to pay for a mistake.
    'llm_summaries{phase:measured}': ['count<1'],
  },
};

export function setup() {
  return readCatalogue(settings);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export default function (catalogue) {
  visitWithMistakes(settings, catalogue, THINK_TIME_MS);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function teardown(catalogue) {
  removeLeftovers(settings, catalogue);
}

/** @param {unknown} data */
export function handleSummary(data) {
  return showSummary('errors', settings, data);
}
