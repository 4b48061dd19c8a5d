// What visitors do who come for summaries: cold, cached and stored ones, streamed, of each provider, and
// of a tenant that has nothing left to spend. Must not know how many visitors there are.
//
// The tag `arm` tells them apart. A book of its own has no summary when a visit makes it, so what a visit
// finds on the way is known for certain: made, then cached, then (after a write, which empties the cache
// of the book) stored.
import exec from 'k6/execution';

import { maySpend, sendForSummary } from './llm.js';
import { arrive, think } from './pace.js';
import { randomStream } from './random.js';
import { send, streamed } from './requests.js';
import { askForSummary, bookOfOwn } from './shop.js';

// In percent of visits.
/** @type {[number, import('./types').Deed][]} */
const MIX = [
  [40, askForSummary],
  [25, lifeOfASummary],
  [15, watchItBeingWritten],
  [15, askEachProvider],
  [5, askWithoutMoney],
];
const ROUTE = 'POST /api/v1/books/{id}/generate-summary';
const THEMES = ['harbour', 'winter', 'orchard', 'lighthouse', 'railway', 'island', 'library', 'mountain', 'garden', 'market'];

/**
 * One visit.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @param {number} thinkMs
 */
export function visitForSummaries(settings, catalogue, thinkMs) {
  arrive();
  const random = randomStream(settings.seed, 'summaries', exec.scenario.name, exec.scenario.iterationInTest);
  random.weighted(MIX)(settings, catalogue, random);
  think(settings, random, thinkMs);
}

/**
 * Brings a tenant with a small limit to its end: its first call is let in, as nobody knows beforehand what
 * it takes, the next ones are not. Whether the API refuses them then.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 */
export function useUpTenant(settings, catalogue) {
  const random = randomStream(settings.seed, 'tenant');
  let refused = false;
  withOwnBook(settings, catalogue, random, 'setup', (id) => {
    const path = `/api/v1/books/${id}/generate-summary?refresh=true${andProvider(settings)}`;
    const headers = { 'X-Tenant-Id': settings.spentTenant };
    const ask = (/** @type {number} */ status) =>
      sendForSummary(settings, catalogue, { route: ROUTE, path, status, headers, llm: true, phase: 'setup' });
    for (const { status } of [ask(200), ask(429)]) {
      refused = status === 429;
    }
  });
  if (!refused) {
    console.info(`no tenant ${settings.spentTenant} is refused for want of money: that path is left out`);
  }
  return refused;
}

/** @type {import('./types').Deed} */
function lifeOfASummary(settings, catalogue, random) {
  withOwnBook(settings, catalogue, random, undefined, (id) => {
    const ask = (/** @type {string} */ arm, /** @type {import('./types').Expectations} */ expectations) => {
      const path = `/api/v1/books/${id}/generate-summary${onlyProvider(settings)}`;
      return sendForSummary(settings, catalogue, { route: ROUTE, path, status: 200, llm: true, tags: { arm } }, {
        'is a summary of the book': (answer) => answer.bookId === id && answer.summary.trim().length > 0,
        ...expectations,
      });
    };
    const cold = ask('cold', { 'was made for this request': (a) => a.cached === false && a.usage.outputTokens > 0 });
    if (!cold.ok) {
      return;
    }
    const again = { 'is the same, and cost nothing': (/** @type {any} */ a) => a.cached === true && a.usage.outputTokens === 0 && a.costUsd === 0 && a.summary === cold.body.summary };
    ask('cached', again);
    // Another price does not change what the summary says; the cache has to forget it all the same.
    send(settings, {
      route: 'PATCH /api/v1/books/{id}',
      path: `/api/v1/books/${id}`,
      status: 200,
      body: { price: { amount: '4.99', currency: 'USD' } },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    });
    ask('stored', again);
  });
}

/** @type {import('./types').Deed} */
function watchItBeingWritten(settings, catalogue, random) {
  withOwnBook(settings, catalogue, random, undefined, (id) => {
    const path = `/api/v1/books/${id}/generate-summary${onlyProvider(settings)}`;
    sendForSummary(settings, catalogue, { route: ROUTE, path, status: 200, llm: true, tags: { arm: 'streamed' }, headers: streamed }, {
      'came to its end': (last) => last.event === 'completed' && last.bookId === id,
      'was told piece by piece': (last) => last.told.trim() === last.summary.trim(),
    });
  });
}

/** @type {import('./types').Deed} */
function askEachProvider(settings, catalogue, random) {
  const { providers } = catalogue;
  if (providers.length === 0) {
    askForSummary(settings, catalogue, random);
    return;
  }
  const provider = providers[random.below(providers.length)];
  withOwnBook(settings, catalogue, random, undefined, (id) => {
    const path = `/api/v1/books/${id}/generate-summary?provider=${provider}`;
    sendForSummary(settings, catalogue, { route: ROUTE, path, status: 200, llm: true, tags: { arm: 'provider' } }, {
      'is of the provider asked': (answer) => answer.provider === provider && answer.cached === false,
    }, provider);
  });
}

/** @type {import('./types').Deed} */
function askWithoutMoney(settings, catalogue, random) {
  if (!catalogue.refusesSpent) {
    askForSummary(settings, catalogue, random);
    return;
  }
  const id = catalogue.ids[random.zipf(catalogue.ids.length)];
  sendForSummary(settings, catalogue, {
    route: ROUTE,
    path: `/api/v1/books/${id}/generate-summary?refresh=true${andProvider(settings)}`,
    status: 429,
    tags: { arm: 'budget' },
    headers: { 'X-Tenant-Id': settings.spentTenant },
  }, {
    'says that a limit is reached': (problem) => problem.code === 'llm_limit_reached' && problem.status === 429,
    'says when to ask again': (_, response) => Number(response.headers['Retry-After']) > 0,
  });
}

/**
 * Makes a book, does something with it, and deletes it.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @param {import('./types').Random} random
 * @param {'setup' | undefined} phase
 * @param {(id: string) => void} deed
 */
function withOwnBook(settings, catalogue, random, phase, deed) {
  if (!maySpend(settings)) {
    return;
  }
  const theme = () => THEMES[random.below(THEMES.length)];
  const description = `A story of a ${theme()} and a ${theme()}, told over ${2 + random.below(90)} years by those who came to the ${theme()}.`;
  const body = bookOfOwn(catalogue, random, description);
  const made = send(settings, { route: 'POST /api/v1/books', path: '/api/v1/books', status: 201, body, phase }, {
    'has an id': (book) => book.id.length > 0,
  });
  if (made.ok) {
    const { id } = made.body;
    deed(id);
    send(settings, { route: 'DELETE /api/v1/books/{id}', path: `/api/v1/books/${id}`, status: 204, phase });
  }
}

/** @param {import('./types').Settings} settings */
function onlyProvider({ provider }) {
  return provider ? `?provider=${provider}` : '';
}

/** @param {import('./types').Settings} settings */
function andProvider({ provider }) {
  return provider ? `&provider=${provider}` : '';
}
