"""The course of a run: what it needs is asked for first, its plan is kept, and it says no more than is true."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ragkit.errors import MissingExtra
from ragkit.train.course import check_packages, planned
from ragkit.train.folder import RunFolder, run_folder


def plan_of(folder: RunFolder, said: list[str], **given: float) -> dict[str, float]:
    asked = {"minutes": 1.0, "passes": 1000.0, **given}
    return planned(folder, None, asked["minutes"], asked["passes"], lambda: 0.5, lambda _, line: said.append(line))


def test_a_run_takes_the_steps_that_its_time_allows_and_no_more_than_its_passes(tmp_path: Path) -> None:
    said: list[str] = []
    assert plan_of(RunFolder(tmp_path / "a", "a"), said) == {"steps": 120, "seconds_a_step": 0.5}
    assert plan_of(RunFolder(tmp_path / "b", "b"), said, passes=40.2)["steps"] == 41
    assert plan_of(RunFolder(tmp_path / "c", "c"), said, passes=2)["steps"] == 30
    assert plan_of(RunFolder(tmp_path / "d", "d"), said, minutes=0.001)["steps"] == 1
    assert said == []


def test_a_run_that_goes_on_keeps_its_plan_and_names_a_checkpoint_only_if_there_is_one(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "reranker", None, {"seed": 0})
    said: list[str] = []
    first = plan_of(folder, said)
    assert plan_of(folder, said, minutes=9.0)["steps"] == first["steps"]
    assert said == []  # killed before the first checkpoint, it begins again
    folder.checkpoint.write_text("state")
    assert plan_of(folder, said)["steps"] == first["steps"]
    assert said == ["goes on from its checkpoint"]


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages("json", "numpy", extra="train")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"onnx is not installed; pip install 'ragkit\[train\]'"):
        check_packages("json", "onnx", extra="train")
