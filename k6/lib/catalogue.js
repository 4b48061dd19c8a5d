// The state that a run starts from: what the shop has on its shelves, most popular first, what of it
// is in the cache, which providers may be asked. And the removal of what a run leaves behind.
// Must not know what visitors do.
import exec from 'k6/execution';

import { dearestCalls } from './llm.js';
import { endOfLoad } from './phases.js';
import { freshHex, randomStream, shuffled } from './random.js';
import { send } from './requests.js';

const MOST_BOOKS = 5000;
const PAGE = 100;
// Books that a warm start puts into the cache; the others are asked for seldom.
const WARM_BOOKS = 500;
// Books that a load run made; another run may still be at work on its own.
const MADE_BY_LOAD = 'Load test book';

/**
 * Reads the catalogue, ordered by popularity, which follows from the seed, brings the cache into the state
 * that was asked for, and says in k6's log what the run starts from.
 * Ends the run with a clear message when the API is down or has no books.
 *
 * @param {import('./types').Settings} settings
 * @returns {import('./types').Catalogue}
 */
export function readCatalogue(settings) {
  const books = [];
  let cursor;
  do {
    const path = `/api/v1/books?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    const page = send(settings, { route: 'GET /api/v1/books', path, status: 200, phase: 'setup' }, {
      'is a page': (body) => Array.isArray(body.items),
    });
    if (!page.ok) {
      const answer = page.status === 0 ? `no answer (${page.error})` : `an unexpected answer, status ${page.status}`;
      exec.test.abort(`${settings.baseUrl}/api/v1/books gave ${answer}: start bookstore-api there or set BASE_URL`);
    }
    for (const book of page.body.items) {
      if (!book.title.startsWith(MADE_BY_LOAD)) {
        books.push(book);
      }
    }
    cursor = page.body.nextCursor;
  } while (cursor && books.length < MOST_BOOKS);
  if (books.length === 0) {
    exec.test.abort(`${settings.baseUrl} has no books: import some with \`bookstore-api import FILE.csv\``);
  }
  const popular = shuffled(books.slice(0, MOST_BOOKS), randomStream(settings.seed, 'catalogue'));
  const catalogue = {
    ids: popular.map((book) => book.id),
    authors: unique(popular.flatMap((book) => idsOf(book.authors))).slice(0, 1000),
    words: unique(popular.flatMap((book) => searchWords(book.title))).slice(0, 500),
    marker: `run${freshHex(12)}`,
    providers: [],
    refusesSpent: false,
    dearestCalls: settings.maxCostUsd === undefined ? {} : dearestCalls(offers(settings)),
    readyAt: Date.now(),
  };
  if (settings.start === 'warm') {
    warm(settings, catalogue);
  }
  const cache = settings.start === 'warm' ? `the ${Math.min(WARM_BOOKS, popular.length)} most popular in the cache` : 'the cache as it was';
  console.info(`starts from ${popular.length} books by ${catalogue.authors.length} authors, ${cache}`);
  catalogue.readyAt = Date.now();
  return catalogue;
}

/**
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 */
function warm(settings, catalogue) {
  for (const id of catalogue.ids.slice(0, WARM_BOOKS)) {
    send(settings, { route: 'GET /api/v1/books/{id}', path: `/api/v1/books/${id}`, status: 200, phase: 'setup' });
  }
}

/**
 * Which providers a run may ask by name: the one that it was told, or those that are set up and have a
 * price. Without a limit in dollars, or with one of zero, only what is free by it, and the default one,
 * which is asked anyway.
 *
 * @param {import('./types').Settings} settings
 * @returns {string[]}
 */
export function readProviders(settings) {
  if (settings.provider) {
    return [settings.provider];
  }
  const items = offers(settings);
  // One answer without a price, as the in-process provider gives, and the price of the run is not known.
  const usable = items.filter((provider) => provider.configured && (provider.default || provider.price));
  const may = usable.filter((provider) => (settings.maxCostUsd || 0) > 0 || provider.default || isFree(provider.price));
  const names = may.map((provider) => provider.name);
  const left = usable.map((provider) => provider.name).filter((name) => !names.includes(name));
  if (left.length > 0) {
    console.info(`${left.join(', ')} may bill and will not be asked: set MAX_COST_USD to ask them, too`);
  }
  return names;
}

/**
 * The providers of the API, as it lists them; none where it does not.
 *
 * @param {import('./types').Settings} settings
 * @returns {any[]}
 */
function offers(settings) {
  const ask = /** @type {const} */ ({ route: 'GET /api/v1/llm/providers', path: '/api/v1/llm/providers', status: 200, phase: 'setup' });
  const { body } = send(settings, ask, { 'is a list': (list) => Array.isArray(list.items) });
  return body && Array.isArray(body.items) ? body.items : [];
}

/** @param {{input: string, output: string}} price */
function isFree(price) {
  return Number(price.input) === 0 && Number(price.output) === 0;
}

/**
 * Title of a book that this run makes; `removeLeftovers` finds it by the marker.
 *
 * @param {import('./types').Catalogue} catalogue
 */
export function titleOfOwn(catalogue) {
  return `${MADE_BY_LOAD} ${catalogue.marker}`;
}

/**
 * Name of an author that this run makes.
 *
 * @param {import('./types').Catalogue} catalogue
 */
export function nameOfOwn(catalogue) {
  return `Load test author ${catalogue.marker}`;
}

/**
 * After the load: notes how long it was, and deletes what visits that were cut off in the middle could not delete themselves.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 */
export function removeLeftovers(settings, catalogue) {
  endOfLoad(catalogue.readyAt);
  const phase = 'teardown';
  for (const [route, field] of [['/api/v1/books', 'title'], ['/api/v1/authors', 'name']]) {
    const path = `${route}?q=${catalogue.marker}&limit=${PAGE}`;
    // As often as there is a full page: a crowd that was cut off leaves more than one.
    for (let page = 0; page < MOST_BOOKS / PAGE; page++) {
      const found = send(settings, { route: `GET ${route}`, path, status: 200, phase });
      /** @type {any[]} */
      const items = (found.body && found.body.items) || [];
      const own = items.filter((item) => item[field].endsWith(catalogue.marker));
      for (const item of own) {
        send(settings, { route: `DELETE ${route}/{id}`, path: `${route}/${item.id}`, status: 204, phase });
      }
      if (own.length < PAGE) {
        break;
      }
    }
  }
}

/**
 * @param {any[] | undefined} things
 * @returns {string[]}
 */
function idsOf(things) {
  return (things || []).map((thing) => thing.id);
}

/**
 * @param {string[]} texts
 * @returns {string[]}
 */
function unique(texts) {
  return [...new Set(texts)];
}

/**
 * Long words of letters only: a search for them finds at least the book that they come from, while
 * a text index may leave short and frequent ones out.
 *
 * @param {string} title
 */
function searchWords(title) {
  return title.toLowerCase().split(/[\s.,;:!?'"()\u2010-\u201f/-]+/).filter((word) => /^[a-z\u00e0-\u00ff]{6,}$/.test(word));
}
