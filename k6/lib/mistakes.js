// What visitors do wrong, and what the shop is to answer: each mistake with its status, its code and the
// fields that are to blame. Must not know how many visitors there are.
import exec from 'k6/execution';

import { arrive, think } from './pace.js';
import { randomStream } from './random.js';
import { send } from './requests.js';
import { bookOfOwn } from './shop.js';

// A well-formed id that nothing has: its time is long before any book was made.
const NOBODY = '01890000-0000-7000-8000-000000000000';
const BOOKS = '/api/v1/books';
const AUTHORS = '/api/v1/authors';
const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' };
const LONGER_THAN_ANY_TITLE = 5000;
// By little: the shop answers without reading it, and what does not fit into the network's buffers
// is then cut off, now and then with the answer.
const LARGER_THAN_ANY_BODY = (1 << 20) + 1;
const LONGER_THAN_ANY_KEY = 300;

/**
 * @typedef {{code: string, fields?: string[], ask: import('./types').Ask}} Mistake
 * @typedef {{book: string, author: string, own: ReturnType<typeof bookOfOwn>}} Things
 */

/**
 * All of them. Nothing that the shop has is changed by any.
 *
 * @type {((things: Things) => Mistake)[]}
 */
const MISTAKES = [
  () => lookFor('book_not_found', 404, `GET ${BOOKS}/{id}`, `${BOOKS}/${NOBODY}`),
  () => lookFor('author_not_found', 404, `GET ${AUTHORS}/{id}`, `${AUTHORS}/${NOBODY}`),
  () => lookFor('malformed_path', 400, `GET ${BOOKS}/{id}`, `${BOOKS}/not-an-id`),
  () => lookFor('route_not_found', 404, 'GET unmatched', '/api/v1/magazines'),
  () => lookFor('bad_cursor', 400, `GET ${BOOKS}`, `${BOOKS}?cursor=broken`),
  () => lookFor('malformed_query', 400, `GET ${BOOKS}`, `${BOOKS}?colour=red`),
  () => ({ ...lookFor('validation_failed', 422, `GET ${BOOKS}`, `${BOOKS}?limit=0`), fields: ['limit'] }),
  () => ({ ...lookFor('validation_failed', 422, `GET ${BOOKS}`, `${BOOKS}?sort=colour`), fields: ['sort'] }),
  () => lookFor('method_not_allowed', 405, `DELETE ${BOOKS}`, BOOKS),
  ({ own }) => shelve('validation_failed', 422, { ...own, title: '' }, ['title']),
  ({ own }) => shelve('validation_failed', 422, { ...own, title: 'x'.repeat(LONGER_THAN_ANY_TITLE) }, ['title']),
  ({ own }) => shelve('validation_failed', 422, { ...own, authorIds: [NOBODY] }, ['authorIds']),
  ({ own }) => shelve('validation_failed', 422, { ...own, isbn: '123' }, ['isbn']),
  ({ own }) => shelve('validation_failed', 422, { ...own, surprise: 1 }, ['surprise']),
  ({ own }) =>
    shelve('validation_failed', 422, { ...own, publishedYear: 99999, price: { amount: '-1', currency: 'XX' } }, [
      'publishedYear',
      'price.amount',
      'price.currency',
    ]),
  () => ({ code: 'malformed_json', ask: { route: `POST ${BOOKS}`, path: BOOKS, status: 400, raw: '{"title": ' } }),
  () => ({
    code: 'unsupported_media_type',
    ask: { route: `POST ${BOOKS}`, path: BOOKS, status: 415, raw: 'title=x', headers: { 'Content-Type': 'text/plain' } },
  }),
  () => ({ code: 'body_too_large', ask: { route: `POST ${BOOKS}`, path: BOOKS, status: 413, raw: large() } }),
  ({ own }) => ({
    code: 'bad_idempotency_key',
    ask: { route: `POST ${BOOKS}`, path: BOOKS, status: 400, body: own, headers: { 'Idempotency-Key': 'x'.repeat(LONGER_THAN_ANY_KEY) } },
  }),
  ({ own }) => ({ code: 'book_not_found', ask: { route: `PUT ${BOOKS}/{id}`, path: `${BOOKS}/${NOBODY}`, status: 404, body: own } }),
  () => ({
    code: 'book_not_found',
    ask: { route: `PATCH ${BOOKS}/{id}`, path: `${BOOKS}/${NOBODY}`, status: 404, body: { language: 'en' }, headers: MERGE_PATCH },
  }),
  ({ book }) => ({
    code: 'validation_failed',
    fields: ['title'],
    ask: { route: `PATCH ${BOOKS}/{id}`, path: `${BOOKS}/${book}`, status: 422, body: { title: null }, headers: MERGE_PATCH },
  }),
  // No book ever has version 0.
  ({ book, own }) => ({
    code: 'precondition_failed',
    ask: { route: `PUT ${BOOKS}/{id}`, path: `${BOOKS}/${book}`, status: 412, body: own, headers: { 'If-Match': '"0"' } },
  }),
  ({ book }) => ({
    code: 'bad_condition',
    ask: { route: `DELETE ${BOOKS}/{id}`, path: `${BOOKS}/${book}`, status: 400, headers: { 'If-Match': 'no-quotes' } },
  }),
  ({ author }) => lookFor('author_has_books', 409, `DELETE ${AUTHORS}/{id}`, `${AUTHORS}/${author}`),
  () => ({ code: 'validation_failed', fields: ['name'], ask: { route: `POST ${AUTHORS}`, path: AUTHORS, status: 422, body: { name: '' } } }),
  () => summarise('book_not_found', 404, NOBODY, ''),
  ({ book }) => summarise('unknown_provider', 400, book, '?provider=nobody'),
  ({ book }) => summarise('malformed_query', 400, book, '?refresh=perhaps'),
  ({ book }) => ({ ...summarise('not_acceptable', 406, book, '', { Accept: 'image/png' }) }),
];

/**
 * One visit: one mistake.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Catalogue} catalogue
 * @param {number} thinkMs
 */
export function visitWithMistakes(settings, catalogue, thinkMs) {
  arrive();
  const { iterationInTest, name } = exec.scenario;
  const random = randomStream(settings.seed, 'mistakes', name, iterationInTest);
  // In turn, so that each is made in the shortest run, too. One that needs what is not there is left out.
  const things = {
    book: catalogue.ids[random.zipf(catalogue.ids.length)],
    author: catalogue.authors[0] || NOBODY,
    own: bookOfOwn(catalogue, random, 'Made by mistake, and so never made.'),
  };
  const { code, fields, ask } = MISTAKES[iterationInTest % MISTAKES.length](things);
  if (code !== 'author_has_books' || catalogue.authors.length > 0) {
    send(settings, { ...ask, tags: { code } }, expectations(code, ask.status, fields));
  }
  think(settings, random, thinkMs);
}

/**
 * @param {string} code
 * @param {number} status
 * @param {string[]} [fields]
 * @returns {import('./types').Expectations}
 */
function expectations(code, status, fields) {
  /** @type {import('./types').Expectations} */
  const wanted = {
    'is a problem': (problem, response) =>
      problem.status === status && problem.title.length > 0 && String(response.headers['Content-Type']).startsWith('application/problem+json'),
    'says which problem': (problem) => problem.code === code,
    'can be found by its trace': (problem) => /^[0-9a-f]{32}$/.test(problem.traceId),
  };
  if (fields) {
    wanted['names every field to blame'] = (problem) => {
      /** @type {{field: string}[]} */
      const errors = problem.errors;
      return fields.every((field) => errors.some((error) => error.field === field)) && errors.length === fields.length;
    };
  }
  return wanted;
}

/**
 * @param {string} code
 * @param {number} status
 * @param {string} route
 * @param {string} path
 * @returns {Mistake}
 */
function lookFor(code, status, route, path) {
  return { code, ask: { route, path, status } };
}

/**
 * @param {string} code
 * @param {number} status
 * @param {unknown} body
 * @param {string[]} fields
 * @returns {Mistake}
 */
function shelve(code, status, body, fields) {
  return { code, fields, ask: { route: `POST ${BOOKS}`, path: BOOKS, status, body } };
}

/**
 * @param {string} code
 * @param {number} status
 * @param {string} id
 * @param {string} query
 * @param {Record<string, string>} [headers]
 * @returns {Mistake}
 */
function summarise(code, status, id, query, headers) {
  const path = `${BOOKS}/${id}/generate-summary${query}`;
  return { code, ask: { route: `POST ${BOOKS}/{id}/generate-summary`, path, status, headers } };
}

/** @type {string | undefined} */
let largeText;

function large() {
  largeText = largeText || JSON.stringify('x'.repeat(LARGER_THAN_ANY_BODY));
  return largeText;
}
