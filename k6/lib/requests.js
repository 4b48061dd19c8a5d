// One request to the API: its name, its trace and its checks.
// Must not know what the request is for.
//
// Tags are few and bounded: `name` (method and route template) and `llm` (whether a provider may be
// called). The trace id differs with every request and so goes into the samples' metadata, where no
// output makes a time series of it.
import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

import { freshHex } from './random.js';

// The API answers or gives up within 60 seconds; whoever waits longer waits for nobody.
const TIMEOUT = '65s';

/**
 * Sends a request and checks its answer.
 *
 * `route` is "METHOD /template"; `path` what stands in its place; `phase` is given only outside of the load.
 * `expectations` are named checks that get the answer's parsed body. `seen`, if given, gets the body too,
 * when the status is right, and the samples it adds still carry the trace id.
 * Returns the parsed body (null when there is none or it is not JSON) and whether every check held.
 */
export function send(settings, route, path, status, { body, llm = false, phase } = {}, expectations = {}, seen) {
  const tags = { name: route, llm: String(llm) };
  if (phase) {
    tags.phase = phase;
  }
  const trace = traceId();
  const headers = { traceparent: `00-${trace}-${spanId()}-01`, Accept: 'application/json' };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  if (settings.token) {
    headers.Authorization = `Bearer ${settings.token}`;
  }
  exec.vu.metrics.metadata.trace_id = trace;
  try {
    const method = route.slice(0, route.indexOf(' '));
    const text = body === undefined ? null : JSON.stringify(body);
    const response = http.request(method, settings.baseUrl + path, text, { tags, headers, timeout: TIMEOUT });
    const parsed = parse(response);
    const ok = check(response, { [`status is ${status}`]: (r) => r.status === status, ...bound(expectations, parsed) }, tags);
    if (seen && parsed && response.status === status) {
      seen(parsed);
    }
    return { ok, body: parsed, status: response.status, error: response.error };
  } finally {
    delete exec.vu.metrics.metadata.trace_id;
  }
}

// Checks that get the parsed body in place of k6's response; one that throws has not held.
function bound(expectations, body) {
  const checks = {};
  for (const [name, holds] of Object.entries(expectations)) {
    checks[name] = () => {
      try {
        return Boolean(holds(body));
      } catch {
        return false;
      }
    };
  }
  return checks;
}

function parse(response) {
  try {
    return response.body ? JSON.parse(response.body) : null;
  } catch {
    return null;
  }
}

// W3C trace context: ids of zeros only are invalid.
function traceId() {
  const id = freshHex(32);
  return /[1-9a-f]/.test(id) ? id : traceId();
}

function spanId() {
  const id = freshHex(16);
  return /[1-9a-f]/.test(id) ? id : spanId();
}
