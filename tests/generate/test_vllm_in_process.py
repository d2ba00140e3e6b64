"""`generation.backend: vllm`, the model in this process: prompts, packing and errors, and a real engine.

vLLM has an environment of its own (`.venv-vllm`, see scripts/vllm_cpu.sh), so the real engine is asked in there by
`vllm_session.py`; each test looks at one part of its report.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.schema import Embedding, Generation
from ragkit.embed import make_embedder
from ragkit.errors import MissingExtra, ModelError, RagkitError
from ragkit.generate import make_generator
from ragkit.generate.vllm import model_folder
from ragkit.ingest.sentences import split_sentences
from tests.generate.conftest import MODEL, ROOT
from tests.generate.vllm_session import LONG, MAX_TOKENS, NOTES, WINDOW


def make(model: str) -> object:
    return make_generator(Generation(backend="vllm", model=model), split_sentences, make_embedder(Embedding()))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_its_extra_is_named() -> None:
    with pytest.raises(MissingExtra, match=r"vllm is not installed; pip install 'ragkit\[vllm\]'"):
        make(MODEL)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vLLM were installed, for what is decided before it is imported."""
    monkeypatch.setattr("ragkit.generate.vllm.find_spec", lambda name: object())  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("./nowhere", "there is no model at ./nowhere"),
        ("hf:org/none", r"hf:org/none is not on this machine; get it by: ragkit models fetch hf:org/none"),
        ("qwen-coder", "no model is called 'qwen-coder'"),
    ],
)
def test_a_model_that_is_not_here(model: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=said):
        make(model)


def test_a_folder_in_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"no model in the format of transformers: there is no .*config\.json"):
        model_folder(str(tmp_path))


def test_a_model_of_the_list_is_taken_as_it_was_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    converted = tmp_path / "vllm" / MODEL
    converted.mkdir(parents=True)
    with pytest.raises(RagkitError):
        model_folder(MODEL)
    (converted / "config.json").write_text("{}", encoding="utf-8")
    assert model_folder(MODEL) == converted


@pytest.fixture(scope="module")
def report(vllm_built: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one engine answered to everything that `vllm_session.py` asks."""
    written = tmp_path_factory.mktemp("vllm") / "report.json"
    command = [str(ROOT / ".venv-vllm" / "bin" / "python"), str(Path(__file__).with_name("vllm_session.py"))]
    done = subprocess.run(
        [*command, MODEL, str(written)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(written.read_text(encoding="utf-8")) | {"stdout": done.stdout, "stderr": done.stderr}


engine = [pytest.mark.integration, pytest.mark.timeout(1800)]


class TestEngine:
    """A real engine, the CPU build of vLLM."""

    pytestmark = engine

    def test_four_ways_to_ask_give_the_same_bytes_and_count_the_same_tokens(self, report: dict[str, Any]) -> None:
        ways = [report[way] for way in ("first", "again", "streamed", "awaited", "astreamed")]
        assert len({way["text"] for way in ways}) == 1
        assert "".join(report["pieces"]).strip() == report["streamed"]["text"]
        assert len(report["pieces"]) > 3
        assert len({(way["usage"]["input_tokens"], way["usage"]["output_tokens"]) for way in ways}) == 1
        assert report["first"]["usage"]["input_tokens"] > 256
        assert all(way["model"] == MODEL and not way["refused"] for way in ways)

    def test_the_beginning_of_a_prompt_comes_from_the_cache(self, report: dict[str, Any]) -> None:
        first, again = report["first"]["usage"], report["again"]["usage"]
        assert first["cached_tokens"] == 0
        assert 128 <= again["cached_tokens"] < again["input_tokens"]

    def test_an_answer_ends_by_itself_or_at_its_limit(self, report: dict[str, Any]) -> None:
        assert report["short"]["finish_reason"] == "stop"
        assert "10 hours" in report["short"]["text"]
        assert report["first"]["finish_reason"] == "length"
        assert report["first"]["usage"]["output_tokens"] == MAX_TOKENS

    @pytest.mark.parametrize("style", ["grammar", "json_schema"])
    def test_an_answer_is_held_to_its_form(self, report: dict[str, Any], style: str) -> None:
        answer = report[style]
        assert answer["refused"] or re.search(r"\[[1-4]\]\.?$", answer["text"]), answer["text"]
        assert "".join(answer["pieces"]).strip() == answer["text"]

    def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(self, report: dict[str, Any]) -> None:
        assert report["short"]["text"].startswith(report["stopped"]["text"])
        assert "hours" not in report["stopped"]["text"]
        assert report["stopped"]["finish_reason"] == "stop"

    def test_a_stream_that_is_left_frees_the_model(self, report: dict[str, Any]) -> None:
        assert report["unfinished"] == [1, 0, 0]
        working, closed, left = report["cpu_shares"]
        assert closed < working / 3, report["cpu_shares"]
        assert left < working / 3, report["cpu_shares"]

    def test_a_context_that_does_not_fit_is_packed_and_said(self, report: dict[str, Any]) -> None:
        assert report["window"] == WINDOW
        long = report["long"]
        assert long["usage"]["input_tokens"] <= WINDOW - MAX_TOKENS
        assert 0 < len(long["used"]) < len(LONG)
        said = long["notes"][0]
        assert said.startswith(f"{len(LONG) - len(long['used'])} of {len(LONG)} passages left out: the prompt has room")
        assert [used["id"] for used in report["first"]["used"]] == [note.chunk.id for note in NOTES]

    def test_a_question_that_is_too_long_for_the_model_is_said(self, report: dict[str, Any]) -> None:
        assert report["too_long"].startswith("the question does not fit: ")
        assert report["too_long"].endswith("ask a shorter question, or lower generation.max_tokens")

    def test_a_document_cannot_end_its_message(self, report: dict[str, Any]) -> None:
        assert report["marks"] == 2  # one behind the system prompt, one behind the question

    def test_an_engine_that_is_killed_in_the_middle_of_an_answer(self, report: dict[str, Any]) -> None:
        assert len(report["killed"]) == 2
        assert all(said.startswith("vLLM's engine died; start this program again") for said in report["killed"])

    def test_nothing_is_printed_where_answers_are(self, report: dict[str, Any]) -> None:
        assert report["stdout"] == ""
