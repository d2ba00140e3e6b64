"""A run's folder appears whole, is found again by what it depends on, and takes nobody else's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import RagkitError
from ragkit.train.folder import RunFolder, card, read_facts, run_folder


def publish(folder: RunFolder) -> None:
    folder.plan()
    model = folder.work / "model"
    model.mkdir()
    (model / "model.onnx").write_bytes(b"weights")
    folder.publish(model, {"weight": 0.3}, card("Reranker", "What it is.", {"seed": 0}))


def test_equal_runs_have_equal_folders_and_a_finished_one_is_known(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "reranker", None, {"seed": 0})
    assert folder == run_folder(tmp_path, "reranker", None, {"seed": 0})
    assert folder.path != run_folder(tmp_path, "reranker", None, {"seed": 1}).path
    assert not folder.finished
    publish(folder)
    assert folder.finished
    assert not folder.work.exists()
    assert read_facts(folder.path)["weight"] == 0.3
    assert "| seed | 0 |" in (folder.path / "README.md").read_text()


def test_a_run_finds_its_own_plan_and_drops_that_of_another(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 0})
    assert folder.plan() == {}
    folder.decide({"steps": 40})
    (folder.work / "checkpoint").write_text("state")
    assert folder.plan()["steps"] == 40
    other = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 1})
    assert other.plan() == {}
    assert not (other.work / "checkpoint").exists()


def test_a_folder_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RagkitError, match="is there already, and is of another run; name another with --out"):
        _ = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 0}).finished
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_reference_is_never_taken_for_the_name_of_a_model(tmp_path: Path) -> None:
    assert run_folder(Path("models"), "reranker", None, {}).reference.startswith("./models/reranker-")
    assert run_folder(Path(".ragkit/models"), "reranker", None, {}).reference.startswith(".ragkit/")
    assert run_folder(tmp_path, "reranker", None, {}).reference.startswith("/")
