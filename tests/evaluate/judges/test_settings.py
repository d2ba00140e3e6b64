"""An entry of a suite's `judges`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from pydantic import ValidationError

from ragkit.config.schema import Embedding
from ragkit.errors import MissingExtra
from ragkit.evaluate.judges import JudgeSettings, make_judge


def test_all_measures_unless_some_are_named_in_the_judges_own_order() -> None:
    assert JudgeSettings(kind="lexical").wanted == ("support", "correctness")
    named = JudgeSettings(kind="ragas", model="m", measures=["context_recall", "faithfulness", "faithfulness"])
    assert named.wanted == ("faithfulness", "context_recall")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "llm"}, "kind llm needs model"),
        ({"kind": "ragas"}, "kind ragas needs model"),
        ({"kind": "ragas", "model": "m", "backend": "llama_cpp"}, "ragas calls a server"),
        ({"kind": "lexical", "measures": ["grounded"]}, "lexical has no measure grounded; known: support, correctness"),
        ({"kind": "lexical", "measures": []}, "at least 1 item"),
        ({"kind": "llm", "model": "m", "base_url": "localhost:8000"}, "no http or https address"),
        ({"kind": "lexical", "modle": "m"}, "Extra inputs"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        JudgeSettings(**given)


def test_a_key_is_not_shown() -> None:
    settings = JudgeSettings.model_validate({"kind": "llm", "model": "m", "api_key": "sk-very-secret"})
    assert "sk-very-secret" not in f"{settings!r} {settings.model_dump_json()}"


@pytest.mark.skipif(importlib.util.find_spec("ragas") is not None, reason="ragas is installed here")
def test_without_ragas_its_extra_is_named() -> None:
    with pytest.raises(MissingExtra, match=r"ragas is not installed; pip install 'ragkit\[ragas\]'"):
        make_judge(JudgeSettings(kind="ragas", model="m", base_url="http://localhost:1/v1"), Embedding())
