"""`ragkit index`: what it does, reports, and says with its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.system import Ragkit

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]


def test_the_json_report_counts_what_was_done(ragkit: Run, system: Path) -> None:
    report = json.loads(ragkit("index", "--rebuild", "--json"))
    assert report["new"] == report["documents"] == 4
    assert report["by_type"] == {"md": 2, "jsonl": 2}
    assert report["chunks"] == report["chunks_written"]
    assert (report["embedded"], report["reused"]) == (0, report["chunks"])
    assert report["failures"] == report["warnings"] == []
    assert report["seconds"]["total"] >= report["seconds"]["embed"]


def test_nothing_to_do_says_so_and_what_to_type_next(ragkit: Run) -> None:
    lines = ragkit("index").splitlines()
    assert lines[0].split("  ")[0:2] == ["changes", "none: 4 documents as before"]
    assert lines[-1] == "next: ragkit ask 'QUESTION'"


def test_the_next_command_names_the_same_system(ragkit: Run) -> None:
    out = ragkit("index", "--config", "ragkit.yaml", "--set", "retrieval.top_k=3")
    assert out.splitlines()[-1] == "next: ragkit ask 'QUESTION' --config ragkit.yaml --set retrieval.top_k=3"


def test_edited_moved_new_and_deleted_files_are_told_apart(ragkit: Run, system: Path) -> None:
    guides = system / "docs" / "guides"
    (guides / "returns.md").write_text("# Returns\n\nAn RMA number is valid for 60 days.\n", encoding="utf-8")
    (guides / "network.md").rename(guides / "ports.md")
    (guides / "new.txt").write_text("The repeater has two antennas.", encoding="utf-8")
    rows = (system / "docs" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    (system / "docs" / "tickets.jsonl").write_text(rows[0] + "\n", encoding="utf-8")
    out = ragkit("index")
    assert "1 new, 1 edited, 1 moved, 1 deleted, 1 unchanged" in out
    assert "left of 2 removed documents: 0 vectors, 0 BM25 entries, 0 manifest rows, 0 older copies" in out


def test_a_file_that_cannot_be_read_is_one_line_and_fails_only_a_strict_run(ragkit: Run, system: Path) -> None:
    (system / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7 not really")
    out = ragkit("index")
    at = out.splitlines().index("1 failure")
    assert out.splitlines()[at + 1].startswith("  broken.pdf: ")
    ragkit("index", "--strict", code=1)
    report = json.loads(ragkit("index", "--strict", "--json", code=1))
    assert [failure["source"] for failure in report["failures"]] == ["broken.pdf"]


def test_another_chunk_size_needs_a_rebuild(ragkit: Run) -> None:
    other = ("--set", "ingestion.chunking.chunk_size=64")
    error = ragkit("index", *other, code=2)
    assert error.startswith("error: the index was built with other settings: ingestion.chunking.chunk_size: 32")
    assert "built anew: 4 new" in ragkit("index", "--rebuild", *other)


def test_bad_input_is_exit_code_2(ragkit: Run) -> None:
    assert ragkit("index", "nowhere", code=2).startswith("error: there is no 'nowhere'; ")
    assert "nothing to index" in ragkit("index", "--set", "ingestion.sources=[]", code=2)


@pytest.mark.integration
def test_a_process_indexes_with_the_packaged_model_and_answers(system: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "100"}
    options = ["--set", "ingestion.embedding.backend=sentence_transformers", "--set", "ingestion.store.path=local"]
    options += ["--set", "ingestion.embedding.model=all-MiniLM-L6-v2", "--set", "ingestion.embedding.base_url=null"]
    (system / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7 not really")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ragkit.cli.main", *args, *options]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=system, env=environ, timeout=120, check=False
        )

    indexed = run("index", "--strict")
    assert indexed.returncode == 1
    assert "1 failure" in indexed.stdout
    assert indexed.stderr == ""  # no bar, no warnings of libraries where stderr is no terminal
    answered = run("ask", "How long is an RMA number valid?", "--json")
    assert answered.returncode == 0
    answer = json.loads(answered.stdout)
    assert "valid for 30 days" in answer["answer"]
    assert answer["citations"][0]["source_document"] == "guides/returns.md"


def test_progress_grows_to_the_number_of_documents(system: Path) -> None:
    del system
    told: list[tuple[int, int, int]] = []
    with Ragkit.from_config("ragkit.yaml") as rag:
        report = rag.index(rebuild=True, progress=lambda done, total, chunks: told.append((done, total, chunks)))
    assert told == sorted(told)
    assert told[0] == (0, 4, 0)  # the total is known before the first text is embedded
    assert told[-1] == (4, 4, report.embedded)
