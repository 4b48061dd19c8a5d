"""What is asked of LLM providers, by the GenAI conventions and BookStore's own counters."""

from .panel import Bad, Panel, Query
from .promql import NOT_THE_PROVIDERS, GEN_AI, MODEL, PROVIDER, quantile, rate, share, total, total_rate, zero

CALLS = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"
GAPS = "gen_ai_client_operation_time_per_output_chunk_seconds"
TOKENS = "gen_ai_client_token_usage"
BY_MODEL = "gen_ai_provider_name, gen_ai_request_model"
OF_MODEL = "{{gen_ai_provider_name}} {{gen_ai_request_model}}"
TRACES = '{ span.gen_ai.provider.name = "${__field.labels.gen_ai_provider_name}" && span.gen_ai.request.model = "${__field.labels.gen_ai_request_model}" }'
SLOW_TRACES = TRACES.replace(" }", " && duration > 10s }")

PANELS = (
    Panel(
        title="LLM calls a second",
        shows="Calls to providers, attempts counted one by one, by provider and model. simulated=true was answered for free.",
        bad="A jump without more summaries asked for: retries, or a cache that was flushed.",
        do="Compare with where summaries come from and with the retries. A click asks for the traces of that model.",
        unit="reqps", traces=TRACES,
        queries=(Query(total_rate(f"{CALLS}_count", GEN_AI, by=f"{BY_MODEL}, simulated"), OF_MODEL + " simulated={{simulated}}"),),
    ),
    Panel(
        title="Duration of LLM calls",
        shows="p50 and p95 from the request to the end of the answer, by provider and model.",
        bad="p95 above 10 s, where the objective of LLM routes is broken; above 30 s callers give up.",
        do="Compare with the time to the first chunk: if only the whole is long, the answers are (tokens per call); else the provider queues.",
        unit="s", thresholds=Bad(10, 30), traces=SLOW_TRACES,
        queries=(
            Query(quantile(0.5, CALLS, GEN_AI, by=BY_MODEL), "p50 " + OF_MODEL),
            Query(quantile(0.95, CALLS, GEN_AI, by=BY_MODEL), "p95 " + OF_MODEL),
        ),
    ),
    Panel(
        title="Time to the first chunk",
        shows="p50 and p95 until the first piece of a streamed answer: what a reader waits before anything appears. Only streamed calls have it.",
        bad="p95 above 2 s: the page looks dead. Above 5 s most readers have left.",
        do="A cold local model loads first: keep it loaded. With a provider see its status page, shorten the prompt, or ask another one.",
        unit="s", thresholds=Bad(2, 5), traces=TRACES,
        queries=(
            Query(quantile(0.5, FIRST, GEN_AI, by=BY_MODEL), "p50 " + OF_MODEL),
            Query(quantile(0.95, FIRST, GEN_AI, by=BY_MODEL), "p95 " + OF_MODEL),
        ),
    ),
    Panel(
        title="Time between chunks",
        shows="p50 and p95 from each piece of a streamed answer to the next. Only streamed calls have it.",
        bad="p95 above 0.5 s: the text stutters; the provider is overloaded or its connection is poor.",
        do="If all models of a provider stutter, it is the way there; if only one, its load. Against the simulator see its lateness first.",
        unit="s", thresholds=Bad(0.2, 0.5), traces=TRACES,
        queries=(
            Query(quantile(0.5, GAPS, GEN_AI, by=BY_MODEL), "p50 " + OF_MODEL),
            Query(quantile(0.95, GAPS, GEN_AI, by=BY_MODEL), "p95 " + OF_MODEL),
        ),
    ),
    Panel(
        title="Tokens a second",
        shows="Input and output tokens as the providers reported them, by provider. Estimates are not among them.",
        bad="Input tokens that rise with the same number of calls: prompts have grown.",
        do="See tokens per call, and which prompt version is in use; the price follows from these.",
        unit="cps", stacked=True, traces=TRACES.split(" && ")[0] + " }",
        queries=(Query(total_rate(f"{TOKENS}_sum", GEN_AI, by="gen_ai_provider_name, gen_ai_token_type"), "{{gen_ai_provider_name}} {{gen_ai_token_type}}"),),
    ),
    Panel(
        title="Failure ratio of LLM providers",
        shows="Share of attempts that failed, by provider. Those that callers gave up, that own limits kept back or that asked what no provider would answer are left out.",
        bad="Above 5 %: every twentieth caller waits for a retry or a fallback. The breaker opens soon after.",
        do="Failed LLM attempts by kind (Errors & Diagnostics) says why.",
        unit="percentunit", thresholds=Bad(0.01, 0.05), highest=1,
        traces='{ span.gen_ai.operation.name != nil && status = error }',
        queries=(Query(share(total_rate("bookstore_llm_attempts_total", PROVIDER, f'outcome!~"ok|{NOT_THE_PROVIDERS}"', by="provider"),
                             total_rate("bookstore_llm_attempts_total", PROVIDER, f'outcome!~"{NOT_THE_PROVIDERS}"', by="provider")), "{{provider}}"),),
    ),
    Panel(
        title="Tokens per LLM call",
        shows="Mean input and output tokens of a call, by provider and model.",
        bad="Output near the limit of tokens: summaries are cut. Input that jumps: a book with a very long description, or a new prompt.",
        do="Compare with the release or the experiment that began then; the limits are settings of the service.",
        unit="short", traces=TRACES,
        queries=(Query(f"{total_rate(f'{TOKENS}_sum', GEN_AI, by=f'{BY_MODEL}, gen_ai_token_type')} / "
                       f"{total_rate(f'{TOKENS}_count', GEN_AI, by=f'{BY_MODEL}, gen_ai_token_type')}", OF_MODEL + " {{gen_ai_token_type}}"),),
    ),
    Panel(
        title="Dollars an hour",
        shows="What is spent on LLMs at the present pace: billed, and the same tokens by list price. A simulated or local model bills nothing.",
        bad="Billed dollars where you expected none: a test asks a provider that bills.",
        do="See which provider and model it is, take its key away or set a budget; the list price says what it would cost elsewhere.",
        unit="currencyUSD", thresholds=Bad(1, 10), decimals=4,
        queries=(Query(f"3600 * {total(rate('bookstore_llm_cost_usd_total', PROVIDER, MODEL), 'provider, model, kind')}", "{{kind}} {{provider}} {{model}}"),),
    ),
    Panel(
        title="Where summaries come from",
        shows="Summaries delivered a second: from the cache, the store, another caller's call (shared) or a call of their own (generated).",
        bad="Mostly generated while the same books are asked for: the cache or the store does not hold them, and each costs a call.",
        do="See the hit ratio of the summary cache (Dependencies); a change of prompt version or model makes all of them new.",
        unit="cps", stacked=True,
        traces='{ resource.service.name = "bookstore-api" && name =~ ".*generate-summary" }',
        queries=(Query(zero(total_rate("bookstore_summaries_total", PROVIDER, 'outcome=~"generated|shared|stored|cached"', by="outcome"), "outcome"), "{{outcome}}"),),
    ),
)
