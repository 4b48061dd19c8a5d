// What the shop has on its shelves: the ids that visitors ask for, most popular first, and the
// removal of what a run leaves behind. Must not know what visitors do with them.
import exec from 'k6/execution';

import { freshHex, randomStream, shuffled } from './random.js';
import { send } from './requests.js';

const MOST_BOOKS = 5000;
const PAGE = 100;
// Books that a load run made; another run may still be at work on its own.
const MADE_BY_LOAD = 'Load test book';

/**
 * Reads the catalogue: {ids, authors, words, marker}, ordered by popularity, which follows from the seed.
 * Ends the run with a clear message when the API is down or has no books.
 */
export function readCatalogue(settings) {
  const books = [];
  let cursor;
  do {
    const path = `/api/v1/books?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    const page = send(settings, 'GET /api/v1/books', path, 200, { phase: 'setup' }, {
      'is a page': (body) => Array.isArray(body.items),
    });
    if (!page.ok) {
      const answer = page.status === 0 ? `no answer (${page.error})` : `an unexpected answer, status ${page.status}`;
      exec.test.abort(`${settings.baseUrl}/api/v1/books gave ${answer}: start bookstore-api there or set BASE_URL`);
    }
    books.push(...page.body.items.filter((book) => !book.title.startsWith(MADE_BY_LOAD)));
    cursor = page.body.nextCursor;
  } while (cursor && books.length < MOST_BOOKS);
  if (books.length === 0) {
    exec.test.abort(`${settings.baseUrl} has no books: import some with \`bookstore-api import FILE.csv\``);
  }
  const popular = shuffled(books.slice(0, MOST_BOOKS), randomStream(settings.seed, 'catalogue'));
  return {
    ids: popular.map((book) => book.id),
    authors: [...new Set(popular.flatMap((book) => (book.authors || []).map((author) => author.id)))].slice(0, 1000),
    words: [...new Set(popular.flatMap((book) => searchWords(book.title)))].slice(0, 500),
    marker: `run${freshHex(12)}`,
  };
}

/** Title of a book that this run makes; `removeLeftovers` finds it by the marker. */
export function titleOfOwn(catalogue) {
  return `${MADE_BY_LOAD} ${catalogue.marker}`;
}

/** Name of an author that this run makes. */
export function nameOfOwn(catalogue) {
  return `Load test author ${catalogue.marker}`;
}

/** Deletes what visits that were cut off in the middle could not delete themselves. */
export function removeLeftovers(settings, catalogue) {
  for (const [route, field] of [['/api/v1/books', 'title'], ['/api/v1/authors', 'name']]) {
    const found = send(settings, `GET ${route}`, `${route}?q=${catalogue.marker}&limit=${PAGE}`, 200, { phase: 'teardown' });
    const own = ((found.body && found.body.items) || []).filter((item) => item[field].endsWith(catalogue.marker));
    for (const item of own) {
      send(settings, `DELETE ${route}/{id}`, `${route}/${item.id}`, 204, { phase: 'teardown' });
    }
  }
}

// Long words of letters only: a search for them finds at least the book that they come from, while
// a text index may leave short and frequent ones out.
function searchWords(title) {
  return title.toLowerCase().split(/[\s.,;:!?'"()\u2010-\u201f/-]+/).filter((word) => /^[a-z\u00e0-\u00ff]{6,}$/.test(word));
}
