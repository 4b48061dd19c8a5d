// What a visitor of the shop does: mostly look at books, popular ones most, sometimes ask for a
// summary, seldom change anything. Must not know how many visitors there are nor how long they stay.
import { sleep } from 'k6';
import exec from 'k6/execution';

import { nameOfOwn, titleOfOwn } from './catalogue.js';
import { countSummary } from './llm.js';
import { randomStream } from './random.js';
import { send } from './requests.js';

// Reads over writes, in percent of visits.
const MIX = [
  [55, readBook],
  [20, browse],
  [15, askForSummary],
  [5, lookAtAuthors],
  [5, keepStock],
];
const LONGEST_THOUGHT = 10;

/** One visit: one thing done, then a moment of thought, exponential around `thinkMs`. */
export function visit(settings, catalogue, thinkMs) {
  // By iteration, not by user: which user k6 gives the next iteration to is a matter of timing.
  const random = randomStream(settings.seed, exec.scenario.name, exec.scenario.iterationInTest);
  random.weighted(MIX)(settings, catalogue, random);
  sleep(Math.min(random.exponential(thinkMs), thinkMs * LONGEST_THOUGHT) / 1000);
}

function readBook(settings, catalogue, random) {
  const id = popular(catalogue.ids, random);
  send(settings, 'GET /api/v1/books/{id}', `/api/v1/books/${id}`, 200, {}, {
    'is the book asked for': (book) => book.id === id && book.title.length > 0,
  });
}

function browse(settings, catalogue, random) {
  const search = catalogue.words.length > 0 && random.chance(0.5);
  const query = search ? `?q=${encodeURIComponent(popular(catalogue.words, random))}&limit=20` : '?limit=20';
  const first = send(settings, 'GET /api/v1/books', `/api/v1/books${query}`, 200, {}, {
    'has books': (page) => page.items.length > 0 && page.items.length <= 20,
  });
  if (first.ok && first.body.nextCursor && random.chance(0.3)) {
    const path = `/api/v1/books${query}&cursor=${encodeURIComponent(first.body.nextCursor)}`;
    send(settings, 'GET /api/v1/books', path, 200, {}, { 'has more books': (page) => Array.isArray(page.items) });
  }
}

function lookAtAuthors(settings, catalogue, random) {
  if (catalogue.authors.length === 0 || random.chance(0.4)) {
    send(settings, 'GET /api/v1/authors', '/api/v1/authors?limit=20', 200, {}, {
      'has authors': (page) => Array.isArray(page.items),
    });
    return;
  }
  const id = popular(catalogue.authors, random);
  send(settings, 'GET /api/v1/authors/{id}', `/api/v1/authors/${id}`, 200, {}, {
    'is the author asked for': (author) => author.id === id,
  });
}

function askForSummary(settings, catalogue, random) {
  const id = popular(catalogue.ids, random);
  const query = settings.provider ? `?provider=${settings.provider}` : '';
  const path = `/api/v1/books/${id}/generate-summary${query}`;
  send(settings, 'POST /api/v1/books/{id}/generate-summary', path, 200, { llm: true }, {
    'is a summary of the book': (answer) => answer.bookId === id && answer.summary.trim().length > 0,
    'says who answered and at what use': (answer) => answer.provider && answer.model && answer.usage.outputTokens >= 0,
  }, countSummary);
}

// What a visit makes it deletes: the catalogue is the same after a run as before it.
function keepStock(settings, catalogue, random) {
  const authorId = random.chance(0.2) ? addAuthor(settings, catalogue) : undefined;
  const shelved = authorId ? [authorId] : catalogue.authors.slice(0, 1);
  const book = {
    title: titleOfOwn(catalogue),
    authorIds: shelved,
    publishedYear: 1900 + random.below(120),
    language: 'en',
    genres: ['fiction'],
    description: 'Made by a load test and deleted by it.',
    price: { amount: `${5 + random.below(30)}.99`, currency: 'USD' },
  };
  const made = send(settings, 'POST /api/v1/books', '/api/v1/books', 201, { body: book }, { 'has an id': (b) => b.id.length > 0 });
  const id = made.body && made.body.id;
  if (id) {
    const path = `/api/v1/books/${id}`;
    const replaced = { ...book, description: 'Replaced by a load test and deleted by it.' };
    send(settings, 'PUT /api/v1/books/{id}', path, 200, { body: replaced }, {
      'has a new version': (b) => b.version > made.body.version,
    });
    send(settings, 'DELETE /api/v1/books/{id}', path, 204);
  }
  if (authorId) {
    send(settings, 'DELETE /api/v1/authors/{id}', `/api/v1/authors/${authorId}`, 204);
  }
}

function addAuthor(settings, catalogue) {
  const author = { name: nameOfOwn(catalogue), bornYear: 1900 };
  const made = send(settings, 'POST /api/v1/authors', '/api/v1/authors', 201, { body: author }, { 'has an id': (a) => a.id.length > 0 });
  return made.body ? made.body.id : undefined;
}

function popular(items, random) {
  return items[random.zipf(items.length)];
}
