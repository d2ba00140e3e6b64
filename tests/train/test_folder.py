"""A run's folder appears whole, is found again by what it depends on, and takes nobody else's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import RagkitError
from ragkit.train.folder import RunFolder, card, check_out, read_facts, run_folder


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


def test_a_run_finds_its_own_plan_and_refuses_to_replace_that_of_another(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 0})
    assert folder.plan() == {}
    folder.decide({"steps": 40})
    (folder.work / "checkpoint").write_text("state")
    assert not folder.finished
    assert folder.plan()["steps"] == 40
    other = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 1})
    for act in (lambda: other.finished, other.plan):
        with pytest.raises(RagkitError, match=r"checkpoint of another run.*another with --out, or delete this folder"):
            act()
    assert (folder.work / "checkpoint").read_text() == "state"


def test_the_folder_of_the_work_is_never_emptied_of_what_no_run_wrote(tmp_path: Path) -> None:
    work = tmp_path / "mine.work"
    work.mkdir()
    (work / "thesis.txt").write_text("years of work")
    folder = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 0})
    for act in (lambda: folder.finished, folder.plan, lambda: check_out(tmp_path / "mine")):
        with pytest.raises(RagkitError, match=r"mine\.work, which is there already and is not ragkit's; name another"):
            act()
    (work / "training.json").write_text("[1]")  # somebody else's file of this name
    with pytest.raises(RagkitError, match="is not ragkit's"):
        folder.plan()
    assert (work / "thesis.txt").read_text() == "years of work"
    with pytest.raises(RagkitError, match=r"thesis\.txt is there already, and is no model of ragkit's"):
        check_out(work / "thesis.txt")


def test_a_run_that_was_killed_before_its_plan_was_there_begins_again(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "reranker", tmp_path / "mine", {"seed": 0})
    folder.work.mkdir()
    (folder.work / "training.json.part").write_text('{"steps"')
    check_out(tmp_path / "mine")
    assert folder.plan() == {}
    publish(folder)
    folder.work.mkdir()
    (folder.work / "checkpoint").write_text("left by a kill while the folder was removed")
    check_out(tmp_path / "mine")
    assert folder.finished


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
