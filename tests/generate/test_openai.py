"""The OpenAI-compatible generator against a real HTTP server on this machine that speaks the protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest
from pydantic import SecretStr

from ragkit.config.schema import Embedding, Generation
from ragkit.embed import make_embedder
from ragkit.errors import ConfigError, ServiceError
from ragkit.generate import Generated, Generator, make_generator
from ragkit.generate.openai import OpenAIGenerator
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk, ScoredChunk, Usage

SECRET = "sk-very-secret-0123456789"
USAGE = {"prompt_tokens": 120, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}
TEXT = "It lasts 10 hours [Source: a.pdf, page 3]."

RESULTS = [
    ScoredChunk(Chunk("c1", "d", text, 0, len(text), 6, {"source_document": "a.pdf", "page_number": 3}), 1.0, {})
    for text in ["The battery lasts 10 hours."]
]

Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """What the server was asked, and what it is to reply next."""

    url: str
    reply: Reply | None = None
    models: list[str] = field(default_factory=list[str])
    requests: list[tuple[str, dict[str, str], dict[str, object]]] = field(
        default_factory=list[tuple[str, dict[str, str], dict[str, object]]]
    )


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            (state.reply or completion(TEXT))(self)

        def do_GET(self) -> None:
            if self.path == "/v1/models" and state.models:
                send(self, 200, {"object": "list", "data": [{"id": name} for name in state.models]})
            else:
                send(self, 404, {"detail": "Not Found"})

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state = Server(f"http://127.0.0.1:{listening.server_port}/v1")
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    listening.shutdown()
    listening.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> None:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def refuse(status: int, body: object, **headers: str) -> Reply:
    return lambda handler: send(handler, status, body, **headers)


def completion(text: str | None, finish_reason: str = "stop") -> Reply:
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "model": "served-model", "usage": USAGE}
    return refuse(200, body | {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]})


def events(*sent: object, done: bool = True, pause_s: float = 0.0) -> Reply:
    """Server-sent events; the connection is closed behind them."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for event in sent:
            handler.wfile.write(b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n")
            handler.wfile.flush()
            time.sleep(pause_s)
        if done:
            handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    return reply


def delta(text: str, finish_reason: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "model": "served-model", "choices": [choice], "usage": None}


STREAM = [delta(""), delta("It lasts 10 hours "), delta("[Source: a.pdf, page 3]."), delta("", "stop")]


def config(server: Server, **changes: object) -> Generation:
    values: dict[str, object] = {
        "backend": "openai",
        "model": "asked-model",
        "base_url": server.url,
        "timeout_s": 5.0,
    }
    return Generation.model_validate(values | changes)


def generator(server: Server, **changes: object) -> Generator:
    return make_generator(config(server, **changes), split_sentences, make_embedder(Embedding()))


def ask(asked: Generator, way: str) -> Generated:
    """The answer in one of the four ways; for streams, the pieces must add up to it."""
    if way == "generate":
        return asked.generate("How long?", RESULTS)
    if way == "agenerate":
        return asyncio.run(asked.agenerate("How long?", RESULTS))

    async def collect() -> list[str | Generated]:
        return [item async for item in asked.astream("How long?", RESULTS)]

    items = list(asked.stream("How long?", RESULTS)) if way == "stream" else asyncio.run(collect())
    *pieces, last = items
    assert isinstance(last, Generated)
    assert "".join(piece for piece in pieces if isinstance(piece, str)).strip() == last.text
    return last


WAYS = ["generate", "agenerate", "stream", "astream"]
STREAMED = ["stream", "astream"]


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_with_its_usage(server: Server, way: str) -> None:
    if way in STREAMED:
        server.reply = events(*STREAM, {"choices": [], "model": "served-model", "usage": USAGE})
    answer = ask(generator(server), way)
    assert answer == Generated(
        text=TEXT,
        usage=Usage(input_tokens=120, output_tokens=7, cached_tokens=64),
        model="served-model",
        refused=False,
        finish_reason="stop",
        used=(RESULTS[0].chunk,),
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_is_asked(server: Server, way: str) -> None:
    if way in STREAMED:
        server.reply = events(*STREAM)
    ask(generator(server, api_key=SecretStr(SECRET), temperature=0.3, max_tokens=99), way)
    [(path, headers, body)] = server.requests
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("asked-model", 0.3, 99)
    messages = cast("list[dict[str, str]]", body["messages"])
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "[1] document: a.pdf, page 3" in messages[1]["content"]
    assert messages[1]["content"].endswith("Question: How long?")
    assert body.get("stream_options") == ({"include_usage": True} if way in STREAMED else None)


def test_what_a_provider_may_keep_is_marked_where_the_config_asks_for_it(server: Server) -> None:
    def body(**changes: object) -> dict[str, object]:
        return OpenAIGenerator(config(server, **changes), split_sentences).request("How long?", RESULTS)[0]

    keyed, plain = body(prompt_cache="openai"), body()
    assert keyed["prompt_cache_key"] == body(prompt_cache="openai", temperature=0.9)["prompt_cache_key"]
    assert "prompt_cache_key" not in plain
    system, user = cast("list[dict[str, list[dict[str, object]]]]", body(prompt_cache="anthropic")["messages"])
    documents, question = user["content"]
    assert [part["cache_control"] for part in (*system["content"], documents)] == [{"type": "ephemeral"}] * 2
    assert "cache_control" not in question
    written = cast("list[dict[str, str]]", plain["messages"])[1]["content"]
    assert f"{documents['text']}\n\n{question['text']}" == written, "the same prompt, in parts"


def test_a_local_server_needs_no_key_and_gets_none_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    ask(generator(server), "generate")
    assert "authorization" not in server.requests[0][1]


def test_pieces_come_before_the_answer_is_complete(server: Server) -> None:
    server.reply = events(*STREAM, pause_s=0.3)
    stream = generator(server).stream("How long?", RESULTS)
    assert next(stream) == "It lasts 10 hours "
    came = time.monotonic()
    assert isinstance(list(stream)[-1], Generated)
    assert time.monotonic() - came > 0.25  # pieces that had waited for one another would come at once


def test_azure_has_its_own_address_and_header(server: Server) -> None:
    base = server.url.removesuffix("/v1")
    azure = generator(server, base_url=base, api_version="2024-10-21", api_key=SecretStr(SECRET))
    assert ask(azure, "generate").text == TEXT
    [(path, headers, body)] = server.requests
    assert path == "/openai/deployments/asked-model/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == SECRET
    assert body["max_completion_tokens"] == 512


def test_the_same_generator_works_in_one_event_loop_after_another(server: Server) -> None:
    asked = generator(server)
    assert [ask(asked, "agenerate").text for _ in range(3)] == [TEXT] * 3


def test_only_what_fits_is_used(server: Server) -> None:
    results = RESULTS * 10
    assert len(generator(server, context_chunks=4).generate("How long?", results).used) == 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cited", ["", " [Source: a.pdf, page 3].", " [1]", " (source: nowhere.md)"])
def test_a_refusal_is_recognised_cited_or_not(server: Server, way: str, cited: str) -> None:
    said = f"I don’t have enough information{cited}"
    server.reply = events(delta(said), delta("", "stop")) if way in STREAMED else completion(said)
    assert ask(generator(server), way).refused


def test_an_invisible_character_of_ours_is_not_handed_on(server: Server) -> None:
    server.reply = events(delta("See [\u2060Source: a.pdf, page 3]."), delta("", "stop"))
    assert ask(generator(server), "stream").text == "See [Source: a.pdf, page 3]."


FAULTS: list[tuple[str, int, object, dict[str, str], list[str]]] = [
    (
        "wrong key",
        401,
        {"error": {"message": f"Incorrect API key provided: {SECRET}"}},
        {},
        ["HTTP 401", "generation.api_key"],
    ),
    ("no such model", 404, {"error": {"message": "unknown"}}, {}, ["'asked-model'", "qwen, llama"]),
    ("too many", 429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}, ["slow down", "wait 7 s"]),
    (
        "too long at OpenAI",
        400,
        {"error": {"message": "This model's maximum context length is 2048 tokens."}},
        {},
        ["too long", "2048", "generation.context_tokens"],
    ),
    (
        "too long at vLLM",
        400,
        {"object": "error", "message": "The prompt is too long: maximum context length 512"},
        {},
        ["512", "generation.context_tokens"],
    ),
    ("failed", 500, "<html>oops</html>", {}, ["HTTP 500"]),
    ("overloaded", 503, {"detail": "loading the model"}, {}, ["HTTP 503", "loading the model"]),
    (
        "bad value",
        400,
        {"error": {"message": "Unsupported: 'temperature'"}},
        {},
        ["HTTP 400", "'temperature'", "; mend what it names under generation"],
    ),
    ("a list of faults", 422, {"detail": [{"loc": ["body"], "msg": "too hot"}]}, {}, ["HTTP 422", "too hot"]),
    ("orders to a terminal", 400, {"error": {"message": "a\x1b]0;x\x07b"}}, {}, ["HTTP 400", "a ]0;x b"]),
    ("deep", 500, '{"error":' * 100_000, {}, ["HTTP 500"]),
    ("no credit", 402, {"error": {"message": "Insufficient Balance"}}, {}, ["HTTP 402", "Balance; add credit"]),
    (
        "redirect",
        307,
        "",
        {"Location": f"https://login.example/v1?token={SECRET}"},
        ["redirects to https://login.example/v1 (HTTP 307)", "set generation.base_url"],
    ),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "body", "headers", "words"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_refused_request_is_explained_and_not_repeated(
    server: Server, way: str, status: int, body: object, headers: dict[str, str], words: list[str]
) -> None:
    server.reply, server.models = refuse(status, body, **headers), ["qwen", "llama"]
    with pytest.raises(ServiceError) as caught:
        ask(generator(server, api_key=SecretStr(SECRET)), way)
    said = str(caught.value)
    assert [word for word in words if word not in said] == []
    assert SECRET not in said
    assert (caught.value.fault, caught.value.status) == ("refused", status)
    assert caught.value.retry_after_s == (7.0 if "Retry-After" in headers else None)
    assert "\n" not in said
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_unknown_path_that_lists_no_models(server: Server, way: str) -> None:
    server.reply = refuse(404, {"detail": "Not Found"})
    with pytest.raises(ServiceError, match=r"generation\.model or generation\.base_url"):
        ask(generator(server), way)


@pytest.mark.parametrize("way", WAYS)
def test_no_server(server: Server, way: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:{SECRET}@127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ServiceError, match=r"no server at http://127\.0\.0\.1:\d+/v1; start it") as caught:
        ask(generator(server, base_url=url), way)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_is_too_slow(server: Server, way: str) -> None:
    server.reply = lambda handler: time.sleep(2)
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"within 0\.3 s; raise generation\.timeout_s"):
        ask(generator(server, timeout_s=0.3), way)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_that_trickles_on_and_on(server: Server, way: str) -> None:
    server.reply = events(*[delta("word ")] * 20, pause_s=0.1)
    with pytest.raises(ServiceError, match=r"within 0\.5 s"):
        ask(generator(server, timeout_s=0.5), way)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_under_a_status_of_success_is_told_in_the_servers_words(server: Server, way: str) -> None:
    server.reply = refuse(200, {"error": {"message": "the model is warming up"}})
    with pytest.raises(ServiceError, match="the model is warming up"):
        ask(generator(server), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", ['{"choices":' * 100_000, "\x1f\x8b broken"])
def test_a_body_that_nobody_can_read(server: Server, way: str, body: str) -> None:
    server.reply = refuse(200, body, **({} if body.startswith("{") else {"Content_Encoding": "gzip"}))
    with pytest.raises(ServiceError, match="no chat completion"):
        ask(generator(server), way)


@pytest.mark.parametrize("way", WAYS)
def test_what_an_answer_of_no_use_cost_is_told(server: Server, way: str) -> None:
    counted = delta("") | {"usage": USAGE}
    server.reply = events(delta("", "length"), counted) if way in STREAMED else completion("", "length")
    with pytest.raises(ServiceError) as caught:
        ask(generator(server), way)
    assert (caught.value.fault, caught.value.usage) == ("empty", Usage(120, 7, 64))


@pytest.mark.parametrize("way", STREAMED)
def test_a_server_that_does_not_stream_is_read_all_the_same(server: Server, way: str) -> None:
    server.reply = completion(TEXT)
    assert ask(generator(server), way).text == TEXT


@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_that_ends_without_a_reason(server: Server, way: str) -> None:
    server.reply = events(*STREAM[:-1])
    assert ask(generator(server), way).finish_reason == "stop"


@pytest.mark.parametrize("way", WAYS)
def test_what_a_model_thinks_is_no_answer(server: Server, way: str) -> None:
    thought = f"<think>It may be 10.\nOr 12.</think>\n\n{TEXT}"
    server.reply = completion(thought) if way not in STREAMED else events(delta(thought), delta("", "stop"))
    assert ask(generator(server), way).text == TEXT


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_whose_text_trickles(server: Server, way: str) -> None:
    server.reply = lambda handler: trickle(handler, 404)
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"within 0\.5 s"):
        ask(generator(server, timeout_s=0.5), way)
    assert time.monotonic() - started < 2


def trickle(handler: BaseHTTPRequestHandler, status: int = 200) -> None:
    """An answer byte by byte, without one line end."""
    handler.send_response(status)
    handler.send_header("Content-Length", "50")
    handler.end_headers()
    for _ in range(50):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_trickles_on_and_on(server: Server, way: str) -> None:
    server.reply = trickle
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"within 0\.5 s"):
        ask(generator(server, timeout_s=0.5), way)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_that_is_cut_in_the_middle(server: Server, way: str) -> None:
    server.reply = events(*STREAM[:2], done=False)
    with pytest.raises(ServiceError, match="broke off in the middle of the answer"):
        ask(generator(server), way)


def cut_connection(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'data: {"choices": [{"delta": {"content": "It"}}]}\n\n')
    handler.close_connection = True


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_is_cut_in_the_middle(server: Server, way: str) -> None:
    server.reply = cut_connection
    with pytest.raises(ServiceError, match="broke off in the middle of the answer"):
        ask(generator(server), way)


@pytest.mark.parametrize("way", STREAMED)
def test_an_error_in_the_middle_of_a_stream(server: Server, way: str) -> None:
    server.reply = events(STREAM[1], {"error": {"message": f"CUDA out of memory, {SECRET}"}})
    with pytest.raises(ServiceError, match="CUDA out of memory") as caught:
        ask(generator(server, api_key=SecretStr(SECRET)), way)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["<html>hello</html>", "", "[]", '"text"', '{"choices": []}', '{"choices": null}', '{"choices": [1]}'],
)
@pytest.mark.parametrize("way", ["generate", "agenerate"])
def test_an_answer_that_is_no_completion(server: Server, way: str, body: str) -> None:
    server.reply = refuse(200, body)
    with pytest.raises(ServiceError, match="no chat completion; base_url must be"):
        ask(generator(server), way)


@pytest.mark.parametrize("reply", [events("{not json"), refuse(200, "<html>hello</html>"), events()])
@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_that_is_no_completion(server: Server, way: str, reply: Reply) -> None:
    server.reply = reply
    with pytest.raises(ServiceError, match="no chat completion"):
        ask(generator(server), way)


@pytest.mark.parametrize(
    ("finish_reason", "mend"), [("length", r"raise generation\.max_tokens"), ("content_filter", "rephrase")]
)
@pytest.mark.parametrize("way", WAYS)
def test_an_empty_answer(server: Server, way: str, finish_reason: str, mend: str) -> None:
    server.reply = events(delta("", finish_reason)) if way in STREAMED else completion(None, finish_reason)
    with pytest.raises(ServiceError, match=mend):
        ask(generator(server), way)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": None}, "generation.api_key is missing for api.openai.com"),
        ({"api_version": "2024-10-21"}, "generation.api_key is missing for 127.0.0.1"),
        ({"api_key": SecretStr(f"{SECRET}\nx")}, "generation.api_key has characters that no key has"),
    ],
)
def test_what_cannot_work_is_said_before_any_call(server: Server, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        generator(server, **changes)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert server.requests == []
