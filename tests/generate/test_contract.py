"""What every generator with a language model promises, asked of real ones.

`generation.backend: vllm` is asked the same in its own environment: test_vllm_in_process.py.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ragkit.config.schema import Generation
from ragkit.generate import Generated, Generator
from ragkit.generate.llama_cpp import LlamaCppGenerator
from ragkit.generate.openai import OpenAIGenerator
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk, ScoredChunk
from tests.generate.conftest import MODEL, Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

QUESTION = "How long does the battery of the lamp last?"
ALL = "List everything that the notes say about the lamp, one fact a line."
NOTES = {
    "battery.txt": "The battery of the lamp lasts 10 hours at full light and 30 hours at half light.",
    "charging.txt": "Charging the lamp takes 90 minutes with the charger in the box and 3 hours from a laptop.",
    "case.txt": "The lamp weighs 300 grams. Its case is aluminium. It may lie in water for half an hour.",
    "switch.txt": "To dim the lamp, hold the switch for two seconds. A second press keeps the brightness.",
}
Make = Callable[..., Generator]


def scored(name: str, text: str) -> ScoredChunk:
    return ScoredChunk(Chunk(name, name, text, 0, len(text), 0, {"source_document": name}), 1.0, {})


RESULTS = [scored(name, text) for name, text in NOTES.items()]


@pytest.fixture(scope="module", params=["llama_cpp", "llama_server", "vllm_server"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a generator of one kind with some settings changed."""
    settings: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 48, "timeout_s": 300.0}
    if request.param == "llama_cpp":
        request.getfixturevalue("gguf")
        settings |= {"backend": "llama_cpp"}
    else:
        server: Server = request.getfixturevalue(request.param)
        settings |= {"backend": "openai", "base_url": f"{server.url}/v1"}
    kind = LlamaCppGenerator if request.param == "llama_cpp" else OpenAIGenerator

    def made(**changes: object) -> Generator:
        return kind(Generation.model_validate(settings | changes), split_sentences)

    return made


def read(stream: Iterator[str | Generated]) -> tuple[list[str], Generated]:
    *pieces, last = stream
    assert isinstance(last, Generated)
    return [piece for piece in pieces if isinstance(piece, str)], last


def test_four_ways_to_ask_give_the_same_bytes(make: Make) -> None:
    asked = make()
    first = asked.generate(ALL, RESULTS)
    pieces, streamed = read(asked.stream(ALL, RESULTS))

    async def both() -> tuple[Generated, list[str | Generated]]:
        return await asked.agenerate(ALL, RESULTS), [item async for item in asked.astream(ALL, RESULTS)]

    awaited, items = asyncio.run(both())
    assert isinstance(items[-1], Generated)
    assert {streamed.text, awaited.text, items[-1].text} == {first.text}
    assert "".join(pieces).strip() == first.text == "".join(str(item) for item in items[:-1]).strip()
    assert len(pieces) > 3
    assert {answer.finish_reason for answer in (streamed, awaited, items[-1])} == {first.finish_reason}


def test_the_answer_its_model_and_its_passages(make: Make) -> None:
    answer = make().generate(QUESTION, RESULTS)
    assert "10 hours" in answer.text
    assert (answer.model, answer.finish_reason, answer.refused) == (MODEL, "stop", False)
    assert answer.used == tuple(result.chunk for result in RESULTS)
    assert [note for note in answer.notes if "estimated" not in note] == []


def test_tokens_are_counted_streamed_or_not(make: Make) -> None:
    asked = make()
    for answer in (asked.generate(QUESTION, RESULTS), read(asked.stream(QUESTION, RESULTS))[1]):
        assert answer.usage.input_tokens > 100
        assert 0 < answer.usage.output_tokens <= 48


def test_the_length_of_an_answer_is_kept(make: Make) -> None:
    answer = make(max_tokens=5).generate(ALL, RESULTS)
    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 5)
    assert "the answer is cut off: it reached generation.max_tokens" in answer.notes


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(make: Make) -> None:
    whole = make().generate(QUESTION, RESULTS)
    for stopped in (
        make(stop=["hours"]).generate(QUESTION, RESULTS),
        read(make(stop=["hours"]).stream(QUESTION, RESULTS))[1],
    ):
        assert whole.text.startswith(stopped.text)
        assert "hours" not in stopped.text
        assert stopped.finish_reason == "stop"


def test_an_answer_is_held_to_its_grammar(make: Make) -> None:
    asked = make(citations="grammar", max_tokens=100)
    pieces, answer = read(asked.stream(QUESTION, RESULTS))
    assert answer.refused or re.search(r"\[[1-4]\]$", answer.text), answer.text
    assert "".join(pieces).strip() == answer.text


def test_a_stream_that_is_closed_frees_the_model(make: Make) -> None:
    asked = make(max_tokens=1500)
    stream = asked.stream("Repeat the notes ten times, word by word.", RESULTS)
    assert next(stream)
    stream.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    assert _soon(asked)


def _soon(asked: Generator) -> bool:
    """Whether the generator begins another answer before the one that was given up could have come to its end."""
    began = time.monotonic()
    stream = asked.stream(QUESTION, RESULTS)
    next(stream)
    stream.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    return time.monotonic() - began < 60  # 1,500 tokens take minutes


def test_a_task_that_is_cancelled_frees_the_model(make: Make) -> None:
    asked = make(max_tokens=1500)

    async def leave() -> None:
        task = asyncio.create_task(asked.agenerate("Repeat the notes ten times, word by word.", RESULTS))
        await asyncio.sleep(0.2)  # a small model may have said all in a second
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert _soon(asked)


def test_a_context_that_does_not_fit_is_packed_and_said(make: Make) -> None:
    long = [scored(name, " ".join([text] * 8)) for name, text in NOTES.items()]
    answer = make(context_tokens=500).generate(QUESTION, long)
    assert 0 < len(answer.used) < 4
    assert f"{4 - len(answer.used)} of 4 passages left out: the prompt has room for" in answer.notes[0]
