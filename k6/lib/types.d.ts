// The shapes that the scripts hand to each other. For the type checker alone: no k6 reads this file.

/** A scenario's own choices, where nobody says otherwise. */
export interface Defaults {
  /** Seconds of measured load. */
  seconds: number;
  /** Virtual users. */
  users: number;
  /** Visits that begin each second, whatever became of the earlier ones; absent: each user waits for the answer. */
  rate?: number;
  /** 95th percentile in milliseconds that requests without an LLM must stay under. */
  p95Ms: number;
}

/** What a run was told. */
export interface Settings extends Defaults {
  /** Where the API is, without a trailing slash. */
  baseUrl: string;
  /** LLM provider to ask; undefined leaves it to the API. */
  provider?: string;
  /** Dollars billed, failed calls at their most, at which the run is aborted; undefined for no limit. */
  maxCostUsd?: number;
  /** Token for what changes something or spends money; only an API beyond loopback asks for one. */
  token?: string;
  /** Tenant that has nothing left to spend, where the API has one and trusts this machine to name it. */
  spentTenant: string;
  /** `found`: the cache as it is; `warm`: the popular books are read once before the load. */
  start: 'found' | 'warm';
  /** The same seed makes the same choices in the same order. */
  seed: string;
  /** `text` for people, `json` for perf-service. */
  summary: 'text' | 'json';
}

/** What the shop has, most popular first. */
export interface Catalogue {
  /** Ids of books. */
  ids: string[];
  /** Ids of authors. */
  authors: string[];
  /** Words that find at least one book. */
  words: string[];
  /** What every title and name that this run makes ends with. */
  marker: string;
  /** Providers that a run may ask by name. */
  providers: string[];
  /** Whether the API refuses the tenant that has nothing left. */
  refusesSpent: boolean;
  /** Dollars that a call of each provider may cost at most; looked up only where there is a limit. */
  dearestCalls: Record<string, number | null>;
  /** When the setup was over, in milliseconds since 1970: from then on k6 counts the time of its load. */
  readyAt: number;
}

/** One request. */
export interface Ask {
  /** "METHOD /template"; "METHOD unmatched" where no route takes the path. */
  route: string;
  /** What stands in the template's place, with the query. */
  path: string;
  /** The status that is right. */
  status: number;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, in place of `body`. */
  raw?: string;
  /** In place of or beside the usual ones. */
  headers?: Record<string, string>;
  /** Whether a provider may be called for it. */
  llm?: boolean;
  /** Given only outside of the load. */
  phase?: 'setup' | 'teardown';
  /** Further tags: few and bounded. */
  tags?: Record<string, string>;
}

/** What came back. */
export interface Answer {
  /** Whether every check held. */
  ok: boolean;
  /** The parsed body; null when there is none or it is not JSON. Of a stream, what its last event brought. */
  body: any;
  /** HTTP status; 0 when there was no answer. */
  status: number;
  /** Why there was none, in k6's words. */
  error: string;
}

/** Named conditions on the parsed body; one that throws has not held. */
export type Expectations = Record<string, (body: any, response: import('k6/http').Response) => unknown>;

/** Chance that can be repeated. */
export interface Random {
  /** From 0 up to but not including 1. */
  next(): number;
  /** A whole number from 0 up to but not including `count`. */
  below(count: number): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** Exponentially distributed around `mean`. */
  exponential(mean: number): number;
  /** A rank from 0 up to but not including `count`; rank r is drawn in proportion to 1 / (r + 1). */
  zipf(count: number): number;
  /** One of `choices`, each with its weight. */
  weighted<Value>(choices: [number, Value][]): Value;
}

/** What a visitor does. */
export type Deed = (settings: Settings, catalogue: Catalogue, random: Random) => void;

/** k6's thresholds. */
export type Thresholds = NonNullable<import('k6/options').Options['thresholds']>;
