// One request to the API: its name, its trace and its checks.
// Must not know what the request is for.
//
// Tags are few and bounded: `name` (method and route template) and `llm` (whether a provider may be
// called), and what the caller adds. The trace id differs with every request and so goes into the
// samples' metadata, where no output makes a time series of it.
import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

import { freshHex } from './random.js';

// The API answers or gives up within 60 seconds; whoever waits longer waits for nobody.
const TIMEOUT = '65s';
/** Tells a collector's tail sampling what began the trace. */
const LOAD = 'bookstore=load';
const EVENTS = 'text/event-stream';

/**
 * Sends a request and checks its answer. A request has failed when its status is not the one that is
 * right, so that an error that was asked for is none.
 *
 * `seen`, if given, gets body and status too, whatever they are, and the samples it adds still carry the
 * trace id.
 *
 * @param {import('./types').Settings} settings
 * @param {import('./types').Ask} ask
 * @param {import('./types').Expectations} [expectations]
 * @param {(body: any, status: number) => void} [seen]
 * @returns {import('./types').Answer}
 */
export function send(settings, ask, expectations = {}, seen) {
  const { route, path, status } = ask;
  /** @type {Record<string, string>} */
  const tags = { ...ask.tags, name: route, llm: String(ask.llm === true) };
  if (ask.phase) {
    tags.phase = ask.phase;
  }
  const [trace, span] = [traceId(), spanId()];
  /** @type {Record<string, string>} */
  const headers = { traceparent: `00-${trace}-${span}-01`, tracestate: LOAD, Accept: 'application/json' };
  const text = ask.raw !== undefined ? ask.raw : ask.body === undefined ? null : JSON.stringify(ask.body);
  if (text !== null) {
    headers['Content-Type'] = 'application/json';
  }
  if (settings.token) {
    headers.Authorization = `Bearer ${settings.token}`;
  }
  Object.assign(headers, ask.headers);
  exec.vu.metrics.metadata.trace_id = trace;
  exec.vu.metrics.metadata.span_id = span;
  try {
    const method = route.slice(0, route.indexOf(' '));
    const response = http.request(method, settings.baseUrl + path, text, {
      tags,
      headers,
      timeout: TIMEOUT,
      responseCallback: expected(status),
    });
    const body = headers.Accept === EVENTS ? lastEvent(response) : parse(response.body);
    const ok = check(response, { [`status is ${status}`]: (r) => r.status === status, ...bound(expectations, body) }, tags);
    if (seen) {
      seen(body, response.status);
    }
    return { ok, body, status: response.status, error: response.error };
  } finally {
    delete exec.vu.metrics.metadata.trace_id;
    delete exec.vu.metrics.metadata.span_id;
  }
}

/** Headers of a request whose answer is to come as it is made. */
export const streamed = { Accept: EVENTS };

/** @type {Record<number, ReturnType<typeof http.expectedStatuses>>} */
const callbacks = {};

/** @param {number} status */
function expected(status) {
  if (!callbacks[status]) {
    callbacks[status] = http.expectedStatuses(status);
  }
  return callbacks[status];
}

/**
 * Checks that get the parsed body in place of k6's response; one that throws has not held.
 *
 * @param {import('./types').Expectations} expectations
 * @param {any} body
 */
function bound(expectations, body) {
  /** @type {Record<string, (response: import('k6/http').Response) => boolean>} */
  const checks = {};
  for (const [name, holds] of Object.entries(expectations)) {
    checks[name] = (response) => {
      try {
        return Boolean(holds(body, response));
      } catch {
        return false;
      }
    };
  }
  return checks;
}

/** @param {unknown} text */
function parse(text) {
  try {
    return typeof text === 'string' && text !== '' ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/**
 * What a stream of server-sent events came to: the data of its last event, with `event`, its name, and
 * `told`, the text of the deltas since the answer last began. A problem in place of a stream is that problem.
 *
 * @param {import('k6/http').Response} response
 */
function lastEvent(response) {
  const text = typeof response.body === 'string' ? response.body : '';
  if (response.status !== 200) {
    return parse(text);
  }
  let told = '';
  let last = null;
  for (const block of text.split('\n\n')) {
    const name = /^event: ?(.*)$/m.exec(block);
    const data = parse((/^data: ?(.*)$/m.exec(block) || ['', ''])[1]);
    // Comments keep the connection alive and say nothing.
    if (name && data) {
      told = name[1] === 'started' ? '' : name[1] === 'delta' ? told + data.text : told;
      last = { ...data, event: name[1] };
    }
  }
  return last && { ...last, told };
}

/**
 * W3C trace context: ids of zeros only are invalid.
 *
 * @returns {string}
 */
function traceId() {
  const id = freshHex(32);
  return /[1-9a-f]/.test(id) ? id : traceId();
}

/** @returns {string} */
function spanId() {
  const id = freshHex(16);
  return /[1-9a-f]/.test(id) ? id : spanId();
}
