"""Changing a config file: only the keys named change, and a file that cannot be changed so is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import config_template, load_config
from ragkit.config.document import read_document
from ragkit.config.edit import Scalar, change_config, edited
from ragkit.config.keys import KeyPath
from ragkit.errors import ConfigError

RERANKING: dict[KeyPath, Scalar] = {
    ("retrieval", "reranking", "backend"): "cross_encoder",
    ("retrieval", "reranking", "model"): ".ragkit/models/reranker-1",
    ("retrieval", "reranking", "weight"): 0.3,
}

WAYS = {
    "empty": "",
    "a comment": "# mine\n",
    "no such section": "ingestion:\n  sources: [docs]   # mine\n\n# the end\n",
    "section emptied": "retrieval:\n  # top_k: 5\ngeneration:\n  max_tokens: 9\n",
    "inner section emptied": "retrieval:\n    reranking:   # later\n    top_k: 5\n",
    "flow": "retrieval: {top_k: 5, reranking: {candidates: 7}}\n",
    "flow over lines": "retrieval: {\n  top_k: 5\n}\n",
    "empty flow": "retrieval: {}\n",
    "values there": "retrieval:\n  reranking:\n    backend: none # off\n    model: null\n    weight: 1.0\n  top_k: 5\n",
    "value left out": "retrieval:\n  reranking:\n    model:\n    candidates: 9\n",
    "windows": "retrieval:\r\n  top_k: 5\r\n",
    "no last line end": "retrieval:\n  top_k: 5",
    "list last": "retrieval:\n  transforms:\n    - spelling\n    - acronyms\n# below\ngeneration: {}\n",
    "text block last": "generation:\n  system_prompt: |\n    One.\n    Two.\n",
    "variable": "retrieval:\n  reranking:\n    model: ${NO_SUCH_MODEL:-x}\n",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS.keys())
def test_keys_are_set_in_any_form_of_yaml_and_no_comment_is_lost(text: str, tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_bytes(text.encode())
    diff = change_config(file, RERANKING)
    config = load_config(file).config
    assert config.retrieval.reranking.model == ".ragkit/models/reranker-1"
    assert config.retrieval.reranking.weight == 0.3
    written = file.read_bytes().decode()
    for line in text.splitlines():
        _, sign, comment = line.partition("#")
        assert sign + comment in written
    assert ("\r\n" in text) == ("\r\n" in written)
    assert "+" in diff
    assert change_config(file, RERANKING) == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("retrieval:\n  top_k: 5\n", "retrieval:\n  top_k: 5\n  transforms: [spelling, decompose]\n"),
        ("retrieval: {transforms: [acronyms]}\n", "retrieval: {transforms: [spelling, decompose]}\n"),
        (
            "retrieval:\n  transforms:\n    - acronyms\n  # below\n  top_k: 5\n",
            "retrieval:\n  transforms: [spelling, decompose]\n  # below\n  top_k: 5\n",
        ),
        (
            "retrieval:\n  transforms:\n  - acronyms  # last\ngeneration: {}\n",
            "retrieval:\n  transforms: [spelling, decompose]  # last\ngeneration: {}\n",
        ),
    ],
)
def test_a_list_is_set_whole(text: str, written: str, tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_text(text)
    change_config(file, {("retrieval", "transforms"): ["spelling", "decompose"]})
    assert load_config(file).config.retrieval.transforms == ["spelling", "decompose"]
    assert file.read_text() == written
    change_config(file, {("retrieval", "transforms"): []})
    assert load_config(file).config.retrieval.transforms == []


@pytest.mark.parametrize(
    "transforms", ["\n    - acronyms  # ours\n    - decompose\n", " [acronyms, # ours\n    decompose]\n"]
)
def test_a_list_with_comments_is_left_alone(transforms: str, tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    text = f"retrieval:\n  transforms:{transforms}"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"cannot be changed .*: the list at .* has comments") as told:
        change_config(file, {("retrieval", "transforms"): ["spelling"]})
    assert "retrieval.transforms: [spelling]" in str(told.value.mend)
    assert file.read_text() == text


def test_of_the_template_only_the_lines_of_the_keys_change() -> None:
    before = config_template("schema.json")
    after = edited(before, RERANKING)
    pairs = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [b.strip() for _, b in pairs] == [
        "backend: cross_encoder",
        "model: .ragkit/models/reranker-1",
        "weight: 0.3",
    ]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_any_text_comes_back_as_it_was_set(value: str) -> None:
    text = edited("a: 1\nb: 2\n", {("a",): value})
    assert read_document(text, "x", os.environ).data == {"a": value, "b": 2}


@given(st.text(min_size=1))
def test_any_key_comes_back_or_is_refused(key: str) -> None:
    try:
        text = edited("a: {b: 1}\nc:\n  d: 1\n", {("a", key): 2, ("c", key, "e"): 3})
    except ConfigError:
        assert not set(key) <= set("small: #1-")
        return
    read = read_document(text, "x", {}).data
    assert read["a"][key] == 2
    assert read["c"][key] == {"e": 3}


@pytest.mark.parametrize("key", ["gpt 4o: mini #1", "4", "no", "- a", "{b}", "a 'b' \"c\"", "ü"])
def test_a_key_that_yaml_would_read_as_something_else_is_quoted(key: str) -> None:
    for text in ("a: {b: 1}\n", "a:\n  b: 1\n"):
        assert read_document(edited(text, {("a", key, "c"): 1}), "x", {}).data["a"][key] == {"c": 1}


def test_a_file_that_would_change_elsewhere_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_text("retrieval:\n  diversity: &one {weight: 0.5}\n  neighbours: *one\n")
    before = file.read_text()
    with pytest.raises(ConfigError, match=r"in these keys alone; write in it: retrieval\.neighbours\.weight: 0\.2"):
        change_config(file, {("retrieval", "neighbours", "weight"): 0.2})
    assert file.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["ragkit.yaml"]


def test_a_value_that_the_config_does_not_take_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_text("retrieval:\n  top_k: 5\n")
    with pytest.raises(ConfigError, match="weight"):
        change_config(file, {("retrieval", "reranking", "weight"): 7})
    assert file.read_text() == "retrieval:\n  top_k: 5\n"


def test_a_dry_run_says_what_it_would_change(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_text("retrieval:\n  top_k: 5\n")
    diff = change_config(file, {("retrieval", "top_k"): 6}, dry_run=True)
    assert "-  top_k: 5\n+  top_k: 6" in diff
    assert file.read_text() == "retrieval:\n  top_k: 5\n"


CHILD = """
import sys
from pathlib import Path
from ragkit.config.edit import change_config
number = 0
print("begun", flush=True)
while True:
    number += 1
    change_config(Path(sys.argv[1]), {("retrieval", "top_k"): number % 50 + 1})
"""


@pytest.mark.integration
def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "ragkit.yaml"
    file.write_text("# first\nretrieval:\n  top_k: 5\n" + "# filling\n" * 2000)
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(file)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.15)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert file.read_text().endswith("# filling\n")
        assert 1 <= load_config(file).config.retrieval.top_k <= 50
