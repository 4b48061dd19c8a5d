"""What the official clients have to get from llm-simulator: a table of checks for each of them.

Run by clients.py, in an environment that has the clients. A check raises where something is not as it is with
the provider itself.
"""

import asyncio
import datetime
import json

import anthropic
import boto3
import botocore
import botocore.auth
import botocore.exceptions
import ollama
import openai
import pydantic
from botocore.config import Config

PROMPT = ("Summarise this book.\nTitle: Moby-Dick\nAuthors: Herman Melville\n"
          "Description: A captain hunts the white whale that took his leg.")
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
LONG = "whale " * 5000
# What clients.py sets.
CONTEXT_TOKENS = 2000
SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}, "pages": {"type": "integer"}},
          "required": ["summary", "pages"], "additionalProperties": False}
MARK = "+simulated"


class Summary(pydantic.BaseModel):
    """What the schema above describes."""

    summary: str
    pages: int


def shown(value):
    text = repr(value)
    return text if len(text) < 500 else f"{text[:400]} … {text[-80:]}"


def same(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}\n  found:  {shown(found)}\n  wanted: {shown(wanted)}")


def holds(what, truth, found=None):
    if not truth:
        raise AssertionError(f"{what}\n  found:  {shown(found)}")


def about_the_book(text):
    holds("the answer is about the book it was asked about", "Moby-Dick" in text, text)


def fits_schema(text):
    value = json.loads(text)
    same("the members of the answer", sorted(value), ["pages", "summary"])
    holds("pages is a whole number", isinstance(value["pages"], int), value)


def refused(what, wanted, call, **attributes):
    """The call raises exactly this class, with these attributes."""
    try:
        answer = call()
    except Exception as error:
        same(f"the class of the error of {what}", f"{type(error).__name__}: {error}"[:200] if type(error) is not wanted
             else wanted.__name__, wanted.__name__)
        for name, value in attributes.items():
            same(f"{name} of the error of {what}", getattr(error, name), value)
        return error
    raise AssertionError(f"{what}\n  found:  an answer, {shown(answer)}\n  wanted: {wanted.__name__}")


# ---- ollama

def of_ollama(url):
    client = ollama.Client(host=url)
    stop = {"stop": ["Melville"]}

    def ask(**more):
        return client.chat(model="llama3.2", messages=MESSAGES, **more)

    def models():
        names = [model.model for model in client.list().models]
        holds("llama3.2:latest is listed", "llama3.2:latest" in names, names)

    def show():
        holds("the model has details", client.show("llama3.2").details is not None)

    def whole():
        answer = ask()
        about_the_book(answer.message.content)
        same("role", answer.message.role, "assistant")
        same("done_reason", answer.done_reason, "stop")
        same("model", answer.model, f"llama3.2{MARK}")
        holds("tokens are counted", answer.prompt_eval_count > 0 and answer.eval_count > 0, answer)
        holds("times are told", answer.total_duration > 0 and answer.eval_duration > 0, answer)

    def check_stream(parts, answer):
        same("text", "".join(part.message.content for part in parts), answer.message.content)
        same("eval_count", parts[-1].eval_count, answer.eval_count)
        same("prompt_eval_count", parts[-1].prompt_eval_count, answer.prompt_eval_count)
        same("done of each part", [part.done for part in parts], [False] * (len(parts) - 1) + [True])
        holds("it came in pieces", len(parts) > 10, len(parts))

    def streamed():
        check_stream(list(ask(stream=True)), ask())

    def generated():
        answer = client.generate(model="llama3.2", prompt=PROMPT)
        about_the_book(answer.response)
        parts = list(client.generate(model="llama3.2", prompt=PROMPT, stream=True))
        same("text", "".join(part.response for part in parts), answer.response)
        same("context", parts[-1].context, answer.context)

    def longest():
        answer = ask(options={"num_predict": 5})
        same("done_reason", answer.done_reason, "length")
        same("eval_count", answer.eval_count, 5)

    def stopped():
        answer = ask(options=stop)
        holds("the stop text is not in the answer", "Melville" not in answer.message.content, answer)
        same("done_reason", answer.done_reason, "stop")

    def shaped():
        fits_schema(ask(format=SCHEMA).message.content)

    def unknown_model():
        error = refused("an unknown model", ollama.ResponseError,
                        lambda: client.chat(model="nope", messages=MESSAGES), status_code=404)
        same("words", error.error, "model 'nope' not found")

    def too_long():
        # Ollama cuts a question to its context window and does not say so.
        answer = client.generate(model="llama3.2", prompt=LONG)
        same("prompt_eval_count", answer.prompt_eval_count, CONTEXT_TOKENS)

    def asynchronous():
        async def both():
            client = ollama.AsyncClient(host=url)
            whole = await client.chat(model="llama3.2", messages=MESSAGES)
            stream = await client.chat(model="llama3.2", messages=MESSAGES, stream=True)
            check_stream([part async for part in stream], whole)
        asyncio.run(both())

    return locals()


# ---- openai

def of_openai(url, key):
    def client(key=key, kind=openai.OpenAI):
        return kind(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)

    def ask(client=client(), model="gpt-4o", messages=MESSAGES, **more):
        return client.chat.completions.create(model=model, messages=messages, **more)

    def models():
        names = [model.id for model in client().models.list()]
        holds("gpt-4o is listed", "gpt-4o" in names, names)
        same("the model's id", client().models.retrieve("gpt-4o").id, "gpt-4o")
        refused("an unknown model", openai.NotFoundError, lambda: client().models.retrieve("nope"), status_code=404)

    def whole():
        answer = ask()
        about_the_book(answer.choices[0].message.content)
        same("role", answer.choices[0].message.role, "assistant")
        same("finish_reason", answer.choices[0].finish_reason, "stop")
        same("object", answer.object, "chat.completion")
        holds("the model is marked", answer.model.endswith(MARK), answer.model)
        holds("it has an id", answer.id.startswith("chatcmpl-"), answer.id)
        usage = answer.usage
        same("total_tokens", usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        holds("tokens are counted", usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage)
        same("the same request's answer", ask(), answer)

    def check_stream(chunks, answer, with_usage):
        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        same("text", "".join(texts), answer.choices[0].message.content)
        holds("it came in pieces", len(texts) > 10, len(texts))
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        same("finish_reason", [reason for reason in reasons if reason], ["stop"])
        same("usage", [chunk.usage for chunk in chunks if chunk.usage], [answer.usage] if with_usage else [])
        same("how many ids", len({chunk.id for chunk in chunks}), 1)

    def streamed():
        check_stream(list(ask(stream=True)), ask(), False)

    def streamed_with_usage():
        check_stream(list(ask(stream=True, stream_options={"include_usage": True})), ask(), True)

    def longest():
        for name in ("max_tokens", "max_completion_tokens"):
            answer = ask(**{name: 5})
            same(f"finish_reason under {name}", answer.choices[0].finish_reason, "length")
            same(f"completion_tokens under {name}", answer.usage.completion_tokens, 5)

    def stopped():
        answer = ask(stop=["Melville"])
        holds("the stop text is not in the answer", "Melville" not in answer.choices[0].message.content, answer)
        same("finish_reason", answer.choices[0].finish_reason, "stop")

    def shaped():
        schema = {"name": "summary", "schema": SCHEMA, "strict": True}
        answer = ask(response_format={"type": "json_schema", "json_schema": schema})
        fits_schema(answer.choices[0].message.content)

    def parsed():
        answer = client().chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Summary)
        holds("it is parsed", isinstance(answer.choices[0].message.parsed, Summary), answer)

    def several():
        # A known difference: one question has one answer.
        refused("several answers", openai.BadRequestError, lambda: ask(n=3), status_code=400, param="n")

    def headers():
        raw = client().chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
        same("the header that marks it", raw.headers["x-llm-simulated"], "true")
        for name in ("x-request-id", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens",
                     "x-ratelimit-reset-requests"):
            holds(f"the header {name}", raw.headers.get(name), dict(raw.headers))

    def bad_key():
        refused("a wrong key", openai.AuthenticationError, lambda: ask(client("wrong")), status_code=401,
                code="invalid_api_key")

    def unknown_model():
        refused("an unknown model", openai.NotFoundError, lambda: ask(model="nope"), status_code=404,
                code="model_not_found")

    def too_long():
        refused("a question that is too long", openai.BadRequestError,
                lambda: ask(messages=[{"role": "user", "content": LONG}]), status_code=400,
                code="context_length_exceeded")

    def bad_request():
        refused("no messages", openai.BadRequestError, lambda: ask(messages=[]), status_code=400)
        refused("a temperature out of range", openai.BadRequestError, lambda: ask(temperature=9), status_code=400)

    def asynchronous():
        async def both():
            async with client(kind=openai.AsyncOpenAI) as ours:
                whole = await ask(ours)
                stream = await ask(ours, stream=True, stream_options={"include_usage": True})
                check_stream([chunk async for chunk in stream], whole, True)
        asyncio.run(both())

    return locals()


# ---- anthropic

def of_anthropic(url, key):
    def client(key=key, kind=anthropic.Anthropic):
        return kind(base_url=url, api_key=key, max_retries=0, timeout=30)

    question = {"model": "claude-sonnet-4-5", "max_tokens": 1000, "system": "Be brief.",
                "messages": [{"role": "user", "content": PROMPT}]}

    def ask(client=client(), **more):
        return client.messages.create(**{**question, **more})

    def models():
        names = [model.id for model in client().models.list()]
        holds("claude-sonnet-4-5 is listed", "claude-sonnet-4-5" in names, names)
        same("the model's id", client().models.retrieve("claude-sonnet-4-5").id, "claude-sonnet-4-5")
        refused("an unknown model", anthropic.NotFoundError, lambda: client().models.retrieve("nope"), status_code=404)

    def whole():
        answer = ask()
        same("types of the content", [block.type for block in answer.content], ["text"])
        about_the_book(answer.content[0].text)
        same("role and type", (answer.role, answer.type), ("assistant", "message"))
        same("stop_reason", answer.stop_reason, "end_turn")
        holds("the model is marked", answer.model.endswith(MARK), answer.model)
        holds("it has an id", answer.id.startswith("msg_"), answer.id)
        holds("tokens are counted", answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage)
        same("the same request's answer", ask(), answer)

    def counted():
        counted = client().messages.count_tokens(**{name: question[name] for name in ("model", "system", "messages")})
        same("input_tokens", counted.input_tokens, ask().usage.input_tokens)

    def check_final(final, texts, answer):
        same("text", "".join(texts), answer.content[0].text)
        holds("it came in pieces", len(texts) > 10, len(texts))
        same("text of the whole", final.content[0].text, answer.content[0].text)
        same("stop_reason", final.stop_reason, "end_turn")
        same("usage", (final.usage.input_tokens, final.usage.output_tokens),
             (answer.usage.input_tokens, answer.usage.output_tokens))
        same("id", final.id, answer.id)

    def streamed():
        with client().messages.stream(**question) as stream:
            texts = list(stream.text_stream)
            check_final(stream.get_final_message(), texts, ask())

    def events():
        names = [event.type for event in ask(stream=True)]
        same("the first two events", names[:2], ["message_start", "content_block_start"])
        same("the last three events", names[-3:], ["content_block_stop", "message_delta", "message_stop"])
        same("the events between", set(names[2:-3]), {"content_block_delta"})

    def longest():
        answer = ask(max_tokens=5)
        same("stop_reason", answer.stop_reason, "max_tokens")
        same("output_tokens", answer.usage.output_tokens, 5)

    def stopped():
        answer = ask(stop_sequences=["Melville"])
        same("stop_reason and stop_sequence", (answer.stop_reason, answer.stop_sequence), ("stop_sequence", "Melville"))
        holds("the stop text is not in the answer", "Melville" not in answer.content[0].text, answer)

    def headers():
        raw = client().messages.with_raw_response.create(**question)
        same("the header that marks it", raw.headers["x-llm-simulated"], "true")
        for name in ("request-id", "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-tokens-remaining",
                     "anthropic-ratelimit-requests-reset"):
            holds(f"the header {name}", raw.headers.get(name), dict(raw.headers))

    def bad_key():
        error = refused("a wrong key", anthropic.AuthenticationError, lambda: ask(client("wrong")), status_code=401)
        same("type", error.body["error"]["type"], "authentication_error")

    def unknown_model():
        error = refused("an unknown model", anthropic.NotFoundError, lambda: ask(model="nope"), status_code=404)
        same("type", error.body["error"]["type"], "not_found_error")

    def too_long():
        error = refused("a question that is too long", anthropic.BadRequestError,
                        lambda: ask(messages=[{"role": "user", "content": LONG}]), status_code=400)
        holds("it says so", "prompt is too long" in error.body["error"]["message"], error.body)

    def bad_request():
        refused("no messages", anthropic.BadRequestError, lambda: ask(messages=[]), status_code=400)
        refused("an unknown field", anthropic.BadRequestError, lambda: ask(extra_body={"nonsense": 1}), status_code=400)

    def asynchronous():
        async def both():
            async with client(kind=anthropic.AsyncAnthropic) as ours:
                whole = await ask(ours)
                async with ours.messages.stream(**question) as stream:
                    texts = [text async for text in stream.text_stream]
                    check_final(await stream.get_final_message(), texts, whole)
        asyncio.run(both())

    return locals()


# ---- boto3

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{MODEL}"


def of_boto3(guarded, unguarded, keys):
    def client(url=guarded, key=keys["SIM_AWS_ACCESS_KEY_ID"], secret=keys["SIM_AWS_SECRET_ACCESS_KEY"], **more):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        return boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key,
                            aws_secret_access_key=secret, config=config, **more)

    question = {"modelId": MODEL, "system": [{"text": "Be brief."}],
                "messages": [{"role": "user", "content": [{"text": PROMPT}]}]}

    def ask(ours=None, **more):
        return (ours or client()).converse(**{**question, **more})

    def text_of(answer):
        same("role", answer["output"]["message"]["role"], "assistant")
        return "".join(block["text"] for block in answer["output"]["message"]["content"])

    def fails(what, code, status, call):
        """A ClientError of this code; of the class of that name where the operation has one."""
        try:
            answer = call()
        except botocore.exceptions.ClientError as error:
            found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
            same(f"code and status of the error of {what}", found, (code, status))
            holds("it says why", error.response["Error"]["Message"], error.response)
            known = type(error).__name__
            same("its class", known, code if hasattr(client().exceptions, code) else "ClientError")
            return error.response["Error"]["Message"]
        raise AssertionError(f"{what}\n  found:  an answer, {shown(answer)}\n  wanted: {code}")

    def whole():
        answer = ask()
        about_the_book(text_of(answer))
        same("stopReason", answer["stopReason"], "end_turn")
        usage = answer["usage"]
        same("totalTokens", usage["totalTokens"], usage["inputTokens"] + usage["outputTokens"])
        holds("tokens are counted", usage["inputTokens"] > 0 and usage["outputTokens"] > 0, usage)
        holds("latencyMs is told", answer["metrics"]["latencyMs"] > 0, answer["metrics"])
        metadata = answer["ResponseMetadata"]
        same("the header that marks it", metadata["HTTPHeaders"]["x-llm-simulated"], "true")
        holds("it has a request id", metadata["RequestId"], metadata)

    def streamed():
        answer, stream = ask(), client().converse_stream(**question)["stream"]
        events = list(stream)
        names = [next(iter(event)) for event in events]
        same("the first event", events[0], {"messageStart": {"role": "assistant"}})
        same("the last three events", names[-3:], ["contentBlockStop", "messageStop", "metadata"])
        texts = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
        same("text", "".join(texts), text_of(answer))
        holds("it came in pieces", len(texts) > 10, len(texts))
        same("stopReason", events[-2]["messageStop"]["stopReason"], "end_turn")
        same("usage and metrics", events[-1]["metadata"], {name: answer[name] for name in ("usage", "metrics")})

    def by_arn():
        same("the answer of the inference profile's ARN", text_of(ask(modelId=ARN)), text_of(ask()))
        stream = client().converse_stream(**{**question, "modelId": ARN})["stream"]
        holds("it is streamed, too", "metadata" in list(stream)[-1])

    def longest():
        answer = ask(inferenceConfig={"maxTokens": 5})
        same("stopReason and outputTokens", (answer["stopReason"], answer["usage"]["outputTokens"]), ("max_tokens", 5))

    def stopped():
        answer = ask(inferenceConfig={"stopSequences": ["Melville"]}, additionalModelResponseFieldPaths=["/stop_sequence"])
        same("stopReason", answer["stopReason"], "stop_sequence")
        same("stop_sequence", answer["additionalModelResponseFields"], {"stop_sequence": "Melville"})
        holds("the stop text is not in the answer", "Melville" not in text_of(answer), answer)

    def shaped():
        schema = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "summary"}}
        fits_schema(text_of(ask(outputConfig={"textFormat": {"type": "json_schema", "structure": schema}})))

    def all_kinds_of_content():
        content = [{"text": PROMPT}, {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
                   {"document": {"format": "txt", "name": "a", "source": {"bytes": b"whale"}}},
                   {"cachePoint": {"type": "default"}}]
        use = {"toolUse": {"toolUseId": "a", "name": "find", "input": {"title": "Moby-Dick"}}}
        result = {"toolResult": {"toolUseId": "a", "content": [{"text": "1851"}, {"json": {"pages": 635}}]}}
        tool = {"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}
        answer = ask(messages=[{"role": "user", "content": content}, {"role": "assistant", "content": [use]},
                               {"role": "user", "content": [result]}], toolConfig={"tools": [tool]},
                     additionalModelRequestFields={"top_k": 5}, requestMetadata={"shelf": "sea"},
                     performanceConfig={"latency": "standard"})
        holds("it is answered", text_of(answer), answer)

    def unknown_model():
        for model in ("nope", ARN.replace("v1:0", "v9:0")):
            said = fails("an unknown model", "ValidationException", 400, lambda: ask(modelId=model))
            same("words", said, "The provided model identifier is invalid.")

    def too_long():
        question = [{"role": "user", "content": [{"text": LONG}]}]
        said = fails("a question that is too long", "ValidationException", 400, lambda: ask(messages=question))
        same("words", said, "Input is too long for requested model.")

    def bad_request():
        twice = question["messages"] * 2
        said = fails("two users in a row", "ValidationException", 400, lambda: ask(messages=twice))
        holds("it says so", said.startswith("A conversation must alternate between user and assistant roles."), said)
        fails("a blank text", "ValidationException", 400,
              lambda: ask(messages=[{"role": "user", "content": [{"text": " "}]}]))
        fails("a temperature out of range", "ValidationException", 400,
              lambda: ask(inferenceConfig={"temperature": 2.0}))

    def wrong_secret():
        said = fails("a wrong secret", "InvalidSignatureException", 403, lambda: ask(client(secret="wrong")))
        holds("it says so", said.startswith("The request signature we calculated does not match"), said)
        fails("a wrong secret, streamed", "InvalidSignatureException", 403,
              lambda: client(secret="wrong").converse_stream(**question))

    def unknown_key():
        fails("an unknown key", "UnrecognizedClientException", 403, lambda: ask(client(key="AKIDOTHER")))

    def session_token():
        about_the_book(text_of(ask(client(aws_session_token="a/token+of=a-session"))))

    def tampered():
        def changed(change):
            ours = client()
            # After signing, before sending.
            ours.meta.events.register("before-send.bedrock-runtime.Converse", lambda request, **_: change(request))
            return ours

        def body(request):
            request.body = request.body.replace(b"whale", b"shark")

        def path(request):
            request.url = request.url.replace("/converse", "/converse-stream")

        def decoded(request):
            request.url = request.url.replace("%3A", ":")

        def header(request):
            request.headers["Content-Type"] = "text/plain"

        for change in (body, path, decoded, header):
            fails(f"another {change.__name__}", "InvalidSignatureException", 403, lambda: ask(changed(change)))

    def wrong_clock():
        now = botocore.auth.get_current_datetime
        for minutes, said in ((-6, "Signature expired: "), (6, "Signature not yet current: ")):
            off = datetime.timedelta(minutes=minutes)
            botocore.auth.get_current_datetime = lambda *args, **kwargs: now(*args, **kwargs) + off
            try:
                found = fails("a clock that is off", "InvalidSignatureException", 403, ask)
            finally:
                botocore.auth.get_current_datetime = now
            holds("it says so", found.startswith(said), found)

    def with_bearer(key, url=guarded):
        # Under AWS_BEARER_TOKEN_BEDROCK the client sends this header too, but over HTTPS only.
        ours = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1",
                            config=Config(retries={"total_max_attempts": 1}, signature_version=botocore.UNSIGNED))
        if key:
            ours.meta.events.register("before-send.bedrock-runtime.Converse", lambda request, **_:
                                      request.headers.__setitem__("Authorization", f"Bearer {key}"))
        return ask(ours)

    def api_key():
        about_the_book(text_of(with_bearer(keys["SIM_API_KEY"])))
        about_the_book(text_of(with_bearer("anything", unguarded)))
        fails("a wrong API key", "AccessDeniedException", 403, lambda: with_bearer("wrong"))
        for url in (guarded, unguarded):
            fails("no authorization", "MissingAuthenticationTokenException", 403, lambda: with_bearer(None, url))

    def without_keys_any_will_do():
        about_the_book(text_of(ask(client(unguarded, "AKIDANY", "any"))))

    return locals()


# ---- the table

TABLE = {
    "ollama": "models show whole streamed generated longest stopped shaped unknown_model too_long asynchronous",
    "openai": "models whole streamed streamed_with_usage longest stopped shaped parsed several headers bad_key "
              "unknown_model too_long bad_request asynchronous",
    "anthropic": "models whole counted streamed events longest stopped headers bad_key unknown_model too_long "
                 "bad_request asynchronous",
    "boto3": "whole streamed by_arn longest stopped shaped all_kinds_of_content unknown_model too_long bad_request "
             "wrong_secret unknown_key session_token tampered wrong_clock api_key without_keys_any_will_do",
}


def checks(guarded, unguarded, keys):
    """Names and checks. `guarded` asks for `keys`, `unguarded` for any."""
    made = {
        "ollama": of_ollama(guarded),
        "openai": of_openai(guarded, keys["SIM_API_KEY"]),
        "anthropic": of_anthropic(guarded, keys["SIM_API_KEY"]),
        "boto3": of_boto3(guarded, unguarded, keys),
    }
    for client, names in TABLE.items():
        for name in names.split():
            yield f"{client}: {name.replace('_', ' ')}", made[client][name]
