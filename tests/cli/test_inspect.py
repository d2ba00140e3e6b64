"""`ragkit inspect`: the index, a document, a chunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]


def test_the_index_in_numbers(ragkit: Run) -> None:
    whole = json.loads(ragkit("inspect", "--json"))
    assert whole["by_type"] == {"md": 2, "jsonl": 2}
    assert whole["documents"] == 4
    assert whole["chunks"] == sum(entry["chunks"] for entry in whole["entries"])
    assert whole["settings"]["ingestion.chunking.chunk_size"] == 32
    assert whole["disk_bytes"] > 0
    out = ragkit("inspect")
    assert "4 documents, " in out
    assert "guides/returns.md" in out


def test_a_long_list_of_documents_is_cut(ragkit: Run, system: Path) -> None:
    rows = "".join(json.dumps({"id": n, "text": f"Row number {n}."}) + "\n" for n in range(60))
    (system / "docs" / "rows.jsonl").write_text(rows, encoding="utf-8")
    ragkit("index")
    assert ragkit("inspect").splitlines()[-1] == "... and 14 more; --json lists all"
    assert len(json.loads(ragkit("inspect", "--json"))["entries"]) == 64


def test_a_document_is_shown_chunk_by_chunk_and_nothing_of_its_text_is_missing(ragkit: Run) -> None:
    document = json.loads(ragkit("inspect", "guides/returns.md", "--json"))
    covered: set[int] = set()
    for chunk in document["chunks"]:
        assert document["text"][chunk["start"] : chunk["end"]] == chunk["text"]
        covered |= set(range(chunk["start"], chunk["end"]))
    assert not "".join(char for at, char in enumerate(document["text"]) if at not in covered).strip()
    out = ragkit("inspect", "returns.md")  # the last part of a name does, where it is the only one
    for chunk in document["chunks"]:
        assert chunk["chunk_id"] in out
    assert "RMA numbers" in out


def test_what_a_chunk_repeats_of_the_one_before_is_marked(ragkit: Run, system: Path) -> None:
    text = " ".join(f"Sentence {n} has five words." for n in range(12))
    (system / "docs" / "long.txt").write_text(text, encoding="utf-8")
    ragkit("index")
    first, second, *_ = json.loads(ragkit("inspect", "long.txt", "--json"))["chunks"]
    repeated = text[second["start"] : first["end"]]
    assert repeated
    assert f"«{repeated}»" in ragkit("inspect", "long.txt")


def test_a_chunk_comes_with_its_neighbours(ragkit: Run) -> None:
    chunks = json.loads(ragkit("inspect", "guides/returns.md", "--json"))["chunks"]
    middle = json.loads(ragkit("inspect", "--chunk", chunks[1]["chunk_id"], "--json"))
    assert middle["before"]["chunk_id"] == chunks[0]["chunk_id"]
    assert middle["metadata"]["source_document"] == "guides/returns.md"
    assert "before: none, this is the first" in ragkit("inspect", "--chunk", chunks[0]["chunk_id"])
    last = json.loads(ragkit("inspect", "--chunk", chunks[-1]["chunk_id"], "--json"))
    assert last["after"] is None


def test_an_index_of_other_settings_can_be_looked_at(ragkit: Run) -> None:
    assert "4 documents" in ragkit("inspect", "--set", "ingestion.chunking.chunk_size=99")


def test_bad_input_is_exit_code_2(ragkit: Run) -> None:
    assert "did you mean guides/returns.md?" in ragkit("inspect", "returs.md", code=2)
    assert "no chunk xyz" in ragkit("inspect", "--chunk", "xyz", code=2)
    assert "exclude each other" in ragkit("inspect", "returns.md", "--chunk", "xyz", code=2)
    assert "there is no index" in ragkit("inspect", "--set", "ingestion.store.path=nowhere", code=2)


def test_a_page_that_cannot_be_read_is_one_line(ragkit: Run, system: Path) -> None:
    [manifest] = (system / "index").glob("gen-*/manifest.sqlite")
    whole = manifest.read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    manifest.write_bytes(whole[: 3 * size] + b"\xff" * (len(whole) - 3 * size))
    assert "cannot be read" in ragkit("inspect", code=2)
    assert "ragkit index --rebuild PATH" in ragkit("inspect", code=2)
