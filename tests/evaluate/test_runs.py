from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.record import CitationRow, CostRow, Judgement, PassageRow, PlaceRow, Record
from ragkit.evaluate.runs import Run, Runs

SAME: dict[str, Any] = {"suite": "s", "config_hash": "c", "data_hash": "d", "index_hash": "i"}


def record(identity: str = "q", **changes: Any) -> Record:
    return Record(case=Case(id=identity, question="How hot? \ud800".encode("utf-8", "replace").decode()), **changes)


def begun(runs: Runs, **changes: Any) -> Run:
    values: dict[str, Any] = {**SAME, "seed": 0, "questions": 2, "details": {"suite": {"name": "s"}}, **changes}
    return runs.begin(**values)


def test_a_record_is_read_back_equal(tmp_path: Path) -> None:
    full = record(
        text="At 40 °C. [Source: a.md]",
        confidence=0.5,
        citations=(CitationRow(document="a.md", page=None, start=0, end=3, quote="At ", support=1.0, resolves=True),),
        unsupported=((0, 3),),
        places=(PlaceRow(document="a.md", pages=(1,), reached="prompt", ranks={"dense": 1}),),
        passages=(
            PassageRow(
                chunk_id="c",
                document="a.md",
                page=1,
                section=None,
                text="x",
                score=0.1,
                ranks={},
                in_prompt=True,
                labelled=True,
            ),
        ),
        metrics={"f1": 1 / 3},
        judgements=(Judgement(judge="lexical", score=None, reason="no sentence"),),
        outcome="right",
        cost=(CostRow(stage="generate", nano_usd=None),),
        timings_ms={"total": 1.5},
    )
    with Runs(tmp_path / "runs.sqlite", create=True) as runs:
        run = begun(runs)
        runs.add(run.id, 1, record("second"))
        runs.add(run.id, 0, full)
        assert list(runs.records(run.id)) == [full, record("second")]
        assert runs.done(run.id) == {0, 1}


def test_a_record_of_before_endpoints_could_fail_is_an_answer() -> None:
    kept = Record(case=Case(id="q", question="How hot?"), text="Hot.").model_dump(exclude={"degraded"})
    record = Record.model_validate(kept)
    assert record.answered
    assert not record.model_copy(update={"degraded": True}).answered
    assert not record.model_copy(update={"error": "no"}).answered


def test_a_run_is_found_by_its_beginning_or_as_the_last(tmp_path: Path) -> None:
    with Runs(tmp_path / "deep" / "runs.sqlite", create=True) as runs:
        first, second = begun(runs), begun(runs)
        assert runs.find(first.id) == first
        assert runs.find("last") in (first, second)  # both began in one second
        with pytest.raises(RagkitError, match="may be"):
            runs.find(first.id[:8])
        with pytest.raises(RagkitError, match=f"there is no run nothing.*the latest are .*{first.id}"):
            runs.find("nothing")


def test_only_an_unfinished_run_of_the_same_things_goes_on(tmp_path: Path) -> None:
    with Runs(tmp_path / "runs.sqlite", create=True) as runs:
        run = begun(runs)
        assert runs.unfinished(**SAME) == run
        for key in SAME:
            assert runs.unfinished(**{**SAME, key: "other"}) is None
        runs.finish(run.id)
        assert runs.unfinished(**SAME) is None
        assert runs.find(run.id).ended is not None


def test_one_process_at_a_time_works_on_a_run(tmp_path: Path) -> None:
    with Runs(tmp_path / "runs.sqlite", create=True) as runs:
        run = begun(runs)
        with (
            runs.lease(run.id),
            pytest.raises(RagkitError, match=f"run {run.id} is still going"),
            runs.lease(run.id),
        ):
            pass
        with runs.lease(run.id):
            pass
    assert not list(tmp_path.glob("*.lock"))


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    held = (
        "import pathlib, sys, time; from ragkit.evaluate.runs import Runs\n"
        "with Runs(pathlib.Path(sys.argv[1]), create=True) as runs, runs.lease('r'): print('held', flush=True);"
        " time.sleep(60)"
    )
    path = tmp_path / "runs.sqlite"
    command = [sys.executable, "-c", held, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, Runs(path, create=True) as runs:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RagkitError, match="still going"), runs.lease("r"):
            pass
        process.kill()
        process.wait()
        with runs.lease("r"):
            pass


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to be none" * 10)
    before = path.read_bytes()
    with pytest.raises(RagkitError, match="is no file of evaluation runs"):
        Runs(path)
    assert path.read_bytes() == before


def test_looking_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with pytest.raises(RagkitError, match=r"there are no runs in .* yet; run: ragkit eval run"):
        Runs(path)
    assert not path.exists()
