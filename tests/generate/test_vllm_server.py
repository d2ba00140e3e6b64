"""ragkit against a real vLLM server on the CPU, built and started by scripts/vllm_cpu.sh, through configs/vllm.yaml.

The tests share one server; the last one kills it.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from ragkit import Ragkit
from ragkit.config import load_config
from ragkit.embed import make_embedder
from ragkit.errors import ServiceError
from ragkit.generate import Generator, make_generator
from ragkit.ingest.sentences import split_sentences
from tests.generate.conftest import MODEL, ROOT, Server
from tests.generate.test_contract import ALL, NOTES, QUESTION, RESULTS, read, scored

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(vllm_server: Server) -> Server:
    return vllm_server


def settings(server: Server, **changes: object) -> list[str]:
    """What `--set` would be given: where the server is, and answers that are short and always the same."""
    values: dict[str, object] = {
        "base_url": f"{server.url}/v1", "model": MODEL, "temperature": 0, "max_tokens": 48, "timeout_s": 300
    }  # fmt: skip
    return [f"generation.{key}={json.dumps(value)}" for key, value in (values | changes).items()]


def generator(server: Server, **changes: object) -> Generator:
    config = load_config(ROOT / "configs" / "vllm.yaml", settings(server, **changes)).config
    return make_generator(config.generation, split_sentences, make_embedder(config.ingestion.embedding))


def test_an_answer_and_its_usage(server: Server) -> None:
    answer = generator(server).generate(QUESTION, RESULTS)
    assert "10 hours" in answer.text
    assert (answer.model, answer.finish_reason, answer.refused) == (MODEL, "stop", False)
    assert answer.used == tuple(result.chunk for result in RESULTS)
    assert answer.usage.input_tokens > 256
    assert 0 < answer.usage.output_tokens <= 48


def test_the_beginning_of_a_prompt_comes_from_the_cache(server: Server) -> None:
    asked = generator(server)
    asked.generate(ALL, RESULTS)
    again = asked.generate(ALL, RESULTS)
    assert 128 <= again.usage.cached_tokens < again.usage.input_tokens


def test_an_answer_in_a_json_schema(server: Server) -> None:
    asked = generator(server, citations="json_schema", max_tokens=100)
    pieces, answer = read(asked.stream(QUESTION, RESULTS))
    assert answer.refused or re.search(r"\[[1-4]\]$", answer.text), answer.text
    assert "".join(pieces).strip() == answer.text == asked.generate(QUESTION, RESULTS).text
    assert "{" not in answer.text


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
