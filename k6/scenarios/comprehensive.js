// description: all of them, one after another, in 39 minutes: smoke, load, stress, spike, errors, ai
// duration: 39m
// users: 50
// spends: summaries
//
// Owns which parts there are, their size, limits and pace. Must not know what visitors do (lib/shop.js,
// lib/mistakes.js, lib/summaries.js) nor how figures are shown (lib/figures.js). A shorter or smaller run
// shortens all parts alike. Runs as it is: k6 run k6/scenarios/comprehensive.js
import { readCatalogue, readProviders, removeLeftovers } from '../lib/catalogue.js';
import { figures, showSummary } from '../lib/figures.js';
import { perSummary, standing } from '../lib/limits.js';
import { visitWithMistakes } from '../lib/mistakes.js';
import { common, sequence } from '../lib/phases.js';
import { readSettings } from '../lib/settings.js';
import { visit } from '../lib/shop.js';
import { useUpTenant, visitForSummaries } from '../lib/summaries.js';

const settings = readSettings({ seconds: 39 * 60, users: 50, p95Ms: 500 });

// Users and minutes of each scenario's own file; the spike is its height here, between two quieter parts.
const PARTS = [
  { name: 'smoke', exec: 'smoke', users: 1, share: 2 },
  { name: 'load', exec: 'load', users: 10, share: 10 },
  { name: 'stress', exec: 'stress', users: 30, share: 15 },
  { name: 'spike', exec: 'load', users: 50, share: 5 },
  { name: 'errors', exec: 'errors', users: 5, share: 2 },
  { name: 'ai', exec: 'ai', users: 10, share: 5 },
];

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: sequence(settings, PARTS),
  thresholds: {
    ...figures,
    ...standing(settings),
    ...perSummary({ tokens: 4000, dollars: 0.05 }),
    'http_req_failed{phase:measured}': ['rate<0.01'],
    'checks{phase:measured}': ['rate>0.99'],
    'http_req_duration{phase:measured,llm:false,part:smoke}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:load}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:stress}': [`p(95)<${2 * settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:spike}': [`p(95)<${4 * settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:errors}': [`p(95)<${settings.p95Ms}`],
    'http_req_duration{phase:measured,llm:false,part:ai}': [`p(95)<${settings.p95Ms}`],
    // A local model on a laptop's processor writes a summary in tens of seconds: slow, not broken.
    'http_req_duration{phase:measured,llm:true}': ['p(95)<45000'],
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
export function smoke(catalogue) {
  visit(settings, catalogue, 50);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function load(catalogue) {
  visit(settings, catalogue, 500);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function stress(catalogue) {
  visit(settings, catalogue, 200);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function errors(catalogue) {
  visitWithMistakes(settings, catalogue, 100);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function ai(catalogue) {
  visitForSummaries(settings, catalogue, 300);
}

/** @param {import('../lib/types').Catalogue} catalogue */
export function teardown(catalogue) {
  removeLeftovers(settings, catalogue);
}

/** @param {unknown} data */
export function handleSummary(data) {
  return showSummary('comprehensive', settings, data);
}
