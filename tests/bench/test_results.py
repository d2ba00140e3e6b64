"""Results on disk: added one by one, read again, gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.bench import index
from eval.bench import results as kept
from eval.bench.results import Results, Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    monkeypatch.setattr(kept, "commit", lambda: "abc")
    return tmp_path


def some(*, quick: bool = False) -> Results:
    return kept.begin("index", quick=quick, resume=False, fresh=False)


def test_each_run_is_on_the_disk_when_it_was_added(folder: Path) -> None:
    found = some()
    found.add(Run("240", "ragkit", 0, {"seconds": 1.5}, commit="abc"))
    assert json.loads((folder / "index.json").read_text())["runs"][0]["values"] == {"seconds": 1.5}
    assert kept.read(folder / "index.json").values("240", "ragkit", "seconds") == {0: 1.5}


@pytest.mark.usefixtures("folder")
def test_a_run_of_the_same_commit_goes_on() -> None:
    some().add(Run("240", "ragkit", 0, {"seconds": 1.5}, commit="abc"))
    assert some().done("240") == {("ragkit", 0)}


@pytest.mark.usefixtures("folder")
def test_another_commit_begins_anew_unless_told_to_go_on() -> None:
    some().add(Run("240", "ragkit", 0, {"seconds": 1.5}, commit="before"))
    assert some().done("240") == set()
    assert kept.begin("index", quick=False, resume=True, fresh=False).done("240") == {("ragkit", 0)}


@pytest.mark.usefixtures("folder")
def test_quick_runs_never_stand_in_for_full_ones() -> None:
    some(quick=True).add(Run("240", "ragkit", 0, {"seconds": 1.5}, commit="abc"))
    assert some().done("240") == set()


@pytest.mark.usefixtures("folder")
def test_what_failed_is_told_and_tried_again() -> None:
    found = some()
    found.add(Run("240", "txtai", 0, {}, "took more memory than there is", "abc"))
    assert found.failures("240") == {"txtai": "took more memory than there is"}
    assert found.done("240") == set()
    assert some().failures("240") == {}


@pytest.mark.usefixtures("folder")
def test_a_preparation_is_no_round() -> None:
    found = some()
    found.add(Run("240", "ragkit", -1, {"build_s": 2.0}, commit="abc"))
    assert found.values("240", "ragkit", "build_s") == {}
    prepared = found.prepared("240", "ragkit")
    assert prepared is not None
    assert prepared.values == {"build_s": 2.0}


def test_nothing_in_the_results_names_the_machine(folder: Path) -> None:
    del folder
    assert set(kept.machine()) == {"cpu", "cores", "threads", "memory", "system", "python"}


@pytest.mark.usefixtures("folder")
def test_a_peer_has_the_batch_size_that_was_quickest_for_it_in_a_full_run() -> None:
    index.best_batch.cache_clear()
    assert index.best_batch("haystack") == 32
    for quick, seconds in ((True, {10: 1.0, 64: 2.0}), (False, {10: 3.0, 32: 2.0, 64: 1.0})):
        found = kept.begin(index.TUNING, quick=quick, resume=False, fresh=True)
        for batch, value in seconds.items():
            found.add(Run("1,000 chunks", f"haystack-{batch}", 0, {"seconds": value}, commit="abc"))
    index.best_batch.cache_clear()
    assert index.best_batch("haystack") == 64
    assert index.best_batch("txtai") == 32
    index.best_batch.cache_clear()
