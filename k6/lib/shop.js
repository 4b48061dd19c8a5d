// What a visitor of the shop does: mostly look at books, popular ones most, sometimes ask for a
// summary, seldom change anything. Must not know how many visitors there are nor how long they stay.
import exec from 'k6/execution';

import { nameOfOwn, titleOfOwn } from './catalogue.js';
import { maySpend, sendForSummary } from './llm.js';
import { arrive, think } from './pace.js';
import { randomStream } from './random.js';
import { send } from './requests.js';

// Reads over writes, in percent of visits.
/** @type {[number, import('./types').Deed][]} */
const MIX = [
  [55, readBook],
  [20, browse],
  [15, askForSummary],
  [5, lookAtAuthors],
  [5, keepStock],
];

/**
 * One visit: one thing done, then a moment of thought, exponential around `thinkMs`.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @param {number} thinkMs
 */
export function visit(settings, catalogue, thinkMs) {
  arrive();
  // By iteration, not by user: which user k6 gives the next iteration to is a matter of timing.
  const random = randomStream(settings.seed, exec.scenario.name, exec.scenario.iterationInTest);
  random.weighted(MIX)(settings, catalogue, random);
  think(settings, random, thinkMs);
}

/** @type {import('./types').Deed} */
function readBook(settings, catalogue, random) {
  const id = popular(catalogue.ids, random);
  send(settings, { route: 'GET /api/v1/books/{id}', path: `/api/v1/books/${id}`, status: 200 }, {
    'is the book asked for': (book) => book.id === id && book.title.length > 0,
  });
}

/** @type {import('./types').Deed} */
function browse(settings, catalogue, random) {
  const search = catalogue.words.length > 0 && random.chance(0.5);
  const query = search ? `?q=${encodeURIComponent(popular(catalogue.words, random))}&limit=20` : '?limit=20';
  const route = 'GET /api/v1/books';
  const first = send(settings, { route, path: `/api/v1/books${query}`, status: 200 }, {
    'has books': (page) => page.items.length > 0 && page.items.length <= 20,
  });
  if (first.ok && first.body.nextCursor && random.chance(0.3)) {
    const path = `/api/v1/books${query}&cursor=${encodeURIComponent(first.body.nextCursor)}`;
    send(settings, { route, path, status: 200 }, { 'has more books': (page) => Array.isArray(page.items) });
  }
}

/** @type {import('./types').Deed} */
function lookAtAuthors(settings, catalogue, random) {
  if (catalogue.authors.length === 0 || random.chance(0.4)) {
    send(settings, { route: 'GET /api/v1/authors', path: '/api/v1/authors?limit=20', status: 200 }, {
      'has authors': (page) => Array.isArray(page.items),
    });
    return;
  }
  const id = popular(catalogue.authors, random);
  send(settings, { route: 'GET /api/v1/authors/{id}', path: `/api/v1/authors/${id}`, status: 200 }, {
    'is the author asked for': (author) => author.id === id,
  });
}

/** @type {import('./types').Deed} */
export function askForSummary(settings, catalogue, random) {
  const id = popular(catalogue.ids, random);
  if (!maySpend(settings)) {
    return;
  }
  const route = 'POST /api/v1/books/{id}/generate-summary';
  const query = settings.provider ? `?provider=${settings.provider}` : '';
  const path = `/api/v1/books/${id}/generate-summary${query}`;
  sendForSummary(settings, catalogue, { route, path, status: 200, llm: true }, {
    'is a summary of the book': (answer) => answer.bookId === id && answer.summary.trim().length > 0,
    'says who answered and at what use': (answer) => answer.provider && answer.model && answer.usage.outputTokens >= 0,
  });
}

/**
 * A book that a run makes, and deletes again: the catalogue is the same after a run as before it.
 *
 * @param {import('./types').Catalogue} catalogue
 * @param {import('./types').Random} random
 * @param {string} description
 */
export function bookOfOwn(catalogue, random, description) {
  return {
    title: titleOfOwn(catalogue),
    authorIds: catalogue.authors.slice(0, 1),
    publishedYear: 1900 + random.below(120),
    language: 'en',
    genres: ['fiction'],
    description,
    price: { amount: `${5 + random.below(30)}.99`, currency: 'USD' },
  };
}

/** @type {import('./types').Deed} */
function keepStock(settings, catalogue, random) {
  const authorId = random.chance(0.2) ? addAuthor(settings, catalogue) : undefined;
  const book = bookOfOwn(catalogue, random, 'Made by a load test and deleted by it.');
  if (authorId) {
    book.authorIds = [authorId];
  }
  const made = send(settings, { route: 'POST /api/v1/books', path: '/api/v1/books', status: 201, body: book }, {
    'has an id': (b) => b.id.length > 0,
  });
  const id = made.body && made.body.id;
  if (id) {
    const path = `/api/v1/books/${id}`;
    const replaced = { ...book, description: 'Replaced by a load test and deleted by it.' };
    send(settings, { route: 'PUT /api/v1/books/{id}', path, status: 200, body: replaced }, {
      'has a new version': (b) => b.version > made.body.version,
    });
    send(settings, { route: 'DELETE /api/v1/books/{id}', path, status: 204 });
  }
  if (authorId) {
    send(settings, { route: 'DELETE /api/v1/authors/{id}', path: `/api/v1/authors/${authorId}`, status: 204 });
  }
}

/**
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @returns {string | undefined}
 */
function addAuthor(settings, catalogue) {
  const author = { name: nameOfOwn(catalogue), bornYear: 1900 };
  const made = send(settings, { route: 'POST /api/v1/authors', path: '/api/v1/authors', status: 201, body: author }, {
    'has an id': (a) => a.id.length > 0,
  });
  return made.body ? made.body.id : undefined;
}

/**
 * @param {string[]} items
 * @param {import('./types').Random} random
 */
function popular(items, random) {
  return items[random.zipf(items.length)];
}
