"""ragkit against a real vLLM server on the CPU, built and started by scripts/vllm_cpu.sh, through configs/vllm.yaml.

The tests share one server; the last one kills it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ragkit import Ragkit
from ragkit.config import load_config
from ragkit.embed import make_embedder
from ragkit.errors import ServiceError
from ragkit.generate import Generated, Generator, make_generator
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk, ScoredChunk

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
MODEL = "qwen2.5-coder-0.5b-instruct"
CANNOT = {3: "the disk is too small", 4: "a download failed"}  # exit codes of scripts/vllm_cpu.sh
QUESTION = "How long does the battery of the lamp last?"
ALL = "List everything that the notes say about the lamp, one fact a line."
NOTES = {
    "battery.txt": "The battery of the lamp lasts 10 hours at full light and 30 hours at half light.",
    "charging.txt": "Charging the lamp takes 90 minutes with the charger in the box and 3 hours from a laptop.",
    "case.txt": "The lamp weighs 300 grams. Its case is aluminium. It may lie in water for half an hour.",
    "switch.txt": "To dim the lamp, hold the switch for two seconds. A second press keeps the brightness.",
}


def scored(name: str, text: str) -> ScoredChunk:
    return ScoredChunk(Chunk(name, name, text, 0, len(text), 0, {"source_document": name}), 1.0, {})


RESULTS = [scored(name, text) for name, text in NOTES.items()]


@dataclass
class Server:
    """A vLLM server on this machine; its log is shown when it does not start."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End the server and what it started, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    script = str(ROOT / "scripts" / "vllm_cpu.sh")
    built = subprocess.run(["bash", script, "build"], capture_output=True, text=True)
    if built.returncode in CANNOT:
        pytest.skip(f"!!! vLLM IS NOT TESTED: {CANNOT[built.returncode]}: {built.stderr.strip()[-600:]}")
    assert built.returncode == 0, built.stderr[-3000:]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", script, "start", str(port)], stdout=output, stderr=output, start_new_session=True
        )
    started = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_it_answers(started)
        yield started
    finally:
        started.kill()


def wait_until_it_answers(server: Server, within_s: float = 600) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"vLLM ended while it started:\n{server.tail()}"
        try:
            if httpx.get(f"{server.url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    pytest.fail(f"vLLM did not answer within {within_s:g} s:\n{server.tail()}")


def settings(server: Server, **changes: object) -> list[str]:
    """What `--set` would be given: where the server is, and answers that are short and always the same."""
    values: dict[str, object] = {
        "base_url": f"{server.url}/v1", "model": MODEL, "temperature": 0, "max_tokens": 48, "timeout_s": 300
    }  # fmt: skip
    return [f"generation.{key}={json.dumps(value)}" for key, value in (values | changes).items()]


def generator(server: Server, **changes: object) -> Generator:
    config = load_config(ROOT / "configs" / "vllm.yaml", settings(server, **changes)).config
    return make_generator(config.generation, split_sentences, make_embedder(config.ingestion.embedding))


def read(stream: Iterator[str | Generated]) -> tuple[list[str], Generated]:
    *pieces, last = stream
    assert isinstance(last, Generated)
    return [piece for piece in pieces if isinstance(piece, str)], last


def test_an_answer_and_its_usage(server: Server) -> None:
    answer = generator(server).generate(QUESTION, RESULTS)
    assert "10 hours" in answer.text
    assert (answer.model, answer.finish_reason, answer.refused) == (MODEL, "stop", False)
    assert answer.used == tuple(result.chunk for result in RESULTS)
    assert answer.usage.input_tokens > 256
    assert 0 < answer.usage.output_tokens <= 48


def test_the_same_bytes_when_it_is_streamed_and_asked_again(server: Server) -> None:
    asked = generator(server)
    first, again = asked.generate(ALL, RESULTS), asked.generate(ALL, RESULTS)
    assert again.text.encode() == first.text.encode()
    # The second time, the beginning of the prompt is served from the server's cache, block by block.
    assert 128 <= again.usage.cached_tokens < again.usage.input_tokens
    pieces, whole = read(asked.stream(ALL, RESULTS))
    assert len(pieces) > 3
    assert "".join(pieces).strip() == whole.text == first.text
    for other in (again, whole):
        assert other.finish_reason == first.finish_reason
        assert other.usage.input_tokens == first.usage.input_tokens
        assert other.usage.output_tokens == first.usage.output_tokens > 0


def test_the_length_of_an_answer_is_kept(server: Server) -> None:
    answer = generator(server, max_tokens=5).generate(ALL, RESULTS)
    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 5)


@pytest.mark.parametrize("style", ["grammar", "json_schema"])
def test_an_answer_is_held_to_its_form(server: Server, style: str) -> None:
    asked = generator(server, citations=style, max_tokens=100)
    pieces, answer = read(asked.stream(QUESTION, RESULTS))
    assert answer.refused or re.search(r"\[[1-4]\]\.?$", answer.text), answer.text
    assert "".join(pieces).strip() == answer.text == asked.generate(QUESTION, RESULTS).text
    assert "{" not in answer.text


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(server: Server) -> None:
    whole = generator(server).generate(QUESTION, RESULTS)
    stopped = generator(server, stop=["hours"]).generate(QUESTION, RESULTS)
    assert whole.text.startswith(stopped.text)
    assert "hours" not in stopped.text


def test_a_stream_that_is_closed_early_frees_the_server(server: Server) -> None:
    stream = generator(server, max_tokens=1500).stream("Repeat the notes ten times, word by word.", RESULTS)
    assert next(stream)
    assert running(server) == 1
    stream.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    deadline = time.monotonic() + 10
    while running(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(server) == 0
    assert generator(server, max_tokens=3).generate(QUESTION, RESULTS).text


def running(server: Server) -> int:
    """How many requests the server works on, by its own account."""
    metrics = httpx.get(f"{server.url}/metrics", timeout=30).text
    [line] = [line for line in metrics.splitlines() if line.startswith("vllm:num_requests_running{")]
    return int(float(line.rpartition(" ")[2]))


def test_a_prompt_that_is_too_long_is_said_with_what_to_change(server: Server) -> None:
    long = [scored("long.txt", " ".join([NOTES["battery.txt"]] * 300))]
    with pytest.raises(ServiceError, match=rf"too long for {MODEL}.*4096.*lower generation\.context_tokens"):
        generator(server, context_tokens=20_000).generate(QUESTION, long)


def test_a_model_that_is_not_served_is_said_with_the_one_that_is(server: Server) -> None:
    with pytest.raises(ServiceError, match=rf"no model 'other'; set generation\.model to one of: {MODEL}"):
        generator(server, model="other").generate(QUESTION, RESULTS)


def test_a_whole_system_answers_with_citations_that_resolve(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text, encoding="utf-8")
    asked = ["What does the lamp weigh?", QUESTION, "What is the case of the lamp made of?"]
    changes = [f"ingestion.store.path={tmp_path / 'index'}", "generation.refusal.min_confidence=0"]
    with Ragkit.from_config(
        ROOT / "configs" / "vllm.yaml", [*settings(server, citations="grammar", max_tokens=100), *changes]
    ) as rag:
        report = rag.index([folder])
        assert (report.new, report.failures) == (len(NOTES), [])
        answers = [rag.ask(question) for question in asked]
        assert all(answer.model == MODEL and answer.usage.output_tokens for answer in answers)
        citations = [citation for answer in answers for citation in answer.citations]
        assert citations, [answer.text for answer in answers]
        for citation in citations:
            document = rag.document(citation.source_document)
            assert document is not None
            assert document.text[citation.start : citation.end] == citation.quote


def test_a_server_that_is_killed_in_the_middle_of_an_answer(server: Server) -> None:
    asked = generator(server, max_tokens=1500)
    stream = asked.stream("Repeat the notes ten times, word by word.", RESULTS)
    assert next(stream)
    server.kill()
    with pytest.raises(ServiceError, match=r"broke off in the middle of the answer; ask again"):
        list(stream)
    with pytest.raises(ServiceError, match=r"no server at http://127\.0\.0\.1:\d+/v1; start it"):
        asked.generate(QUESTION, RESULTS)
