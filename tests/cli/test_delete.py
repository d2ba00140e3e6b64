"""`ragkit delete`: the document is gone from everything, and the receipt says so."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]


def test_a_deleted_document_is_found_no_more_and_comes_back_with_its_file(ragkit: Run) -> None:
    receipt = json.loads(ragkit("delete", "guides/returns.md", "--json"))
    assert receipt["deleted"] == ["guides/returns.md"]
    assert receipt["documents"] == 1
    assert receipt["left"] == {"vectors": 0, "bm25": 0, "manifest": 0, "files": 0}
    found = json.loads(ragkit("search", "RMA number", "--json"))["results"]
    assert "guides/returns.md" not in {result["source_document"] for result in found}
    assert json.loads(ragkit("index", "--json"))["new"] == 1


def test_people_read_the_receipt_and_how_it_comes_back(ragkit: Run) -> None:
    out = ragkit("delete", "guides/returns.md", "tickets.jsonl#t1", "guides/returns.md")
    assert out.startswith("deleted 2 documents: guides/returns.md, tickets.jsonl#t1\n")
    rows = {line.rsplit(None, 1)[0]: line.split()[-1] for line in out.splitlines()[1:6]}
    assert rows["vectors"] == rows["BM25 entries"] == rows["manifest rows"] == "0"
    assert "`ragkit index`" in out


def test_one_wrong_name_deletes_nothing(ragkit: Run) -> None:
    # A part of a name is enough to look at a document, not to delete it.
    error = ragkit("delete", "guides/network.md", "returns.md", code=2)
    assert "no document named 'returns.md'; did you mean guides/returns.md?" in error
    assert json.loads(ragkit("inspect", "--json"))["documents"] == 4
    assert "there is no index" in ragkit("delete", "a.md", "--set", "ingestion.store.path=nowhere", code=2)
