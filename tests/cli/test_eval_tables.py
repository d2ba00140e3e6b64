"""What `ragkit eval` prints of a finished run in a terminal of 80 columns; the runs are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ragkit.cli.eval.checklist import checklist_table, lines_below
from ragkit.cli.main import main
from ragkit.cli.printing import console
from ragkit.evaluate.cases import Case
from ragkit.evaluate.checks import Check, Measured
from ragkit.evaluate.record import Judgement, Record
from ragkit.evaluate.runs import Runs
from ragkit.evaluate.summary import Verdict

SUITE: dict[str, Any] = {
    "name": "hand",
    "data": [{"path": "q.jsonl"}],
    "metrics": ["contained", "citation_recal"],
    "gates": [{"metric": "contained", "at_least": 0.1}, {"metric": "contained", "at_least": 0.9}],
}
LEAKS = [{"kind": "like question", "test": f"q{n}", "other": f"t{n}", "detail": ""} for n in range(7)]
LONG = "samples_hard_questions/question-number"


def record(identity: str, *, synthetic: bool = False, segment: str = "", **changes: Any) -> Record:
    case = Case(id=identity, question="How long is it?", answers=("x",), synthetic=synthetic, segment=segment)
    values: dict[str, Any] = {"metrics": {"contained": 0.0, "citation_recall": 1.0}, "text": "No.", **changes}
    return Record(case=case, outcome="not retrieved", **values)


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a run into the default file and give its id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def write(records: Sequence[Record], **details: Any) -> str:
        with Runs(Path(".ragkit/evaluation.sqlite"), create=True) as runs:
            same = {"suite": "hand", "config_hash": "c" * 16, "data_hash": "d" * 16, "index_hash": "i" * 16}
            told = {"suite": SUITE, "part": "test", **details}
            run = runs.begin(**same, seed=0, questions=len(records), details=told)
            for position, each in enumerate(records):
                runs.add(run.id, position, each)
            if records:
                runs.finish(run.id)
        return run.id

    return write


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command of `ragkit eval` prints, on one line for texts that wrap."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["eval", *arguments]) == code
        printed = capsys.readouterr()
        return printed.err if code == 2 else printed.out

    return run


Keep = Callable[..., str]
Said = Callable[..., str]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_synthetic_questions_are_marked_wherever_they_show(keep: Keep, said: Said, tmp_path: Path) -> None:
    keep([record("q0"), record("q1", synthetic=True), record("q2", synthetic=True)])
    assert "2 of 3 questions are synthetic: nobody wrote or checked them" in said("report", code=1)
    assert said("worst").count("not retrieved, synthetic") == 2
    assert "outcome: not retrieved, synthetic" in said("show", "last", "q1")
    assert "synthetic" not in said("show", "last", "q0")
    said("report", "--html", "page.html", "--junit", "gates.xml", code=1)
    (told,) = ElementTree.parse("gates.xml").getroot().iter("property")
    assert told.attrib == {"name": "synthetic questions", "value": "2 of 3"}
    page = Path("page.html").read_text(encoding="utf-8")
    assert "2 of 3 synthetic</span></h1>" in page
    assert page.count("not retrieved, synthetic</span>") == 2


def test_nothing_is_said_of_synthetic_questions_where_there_are_none(keep: Keep, said: Said) -> None:
    keep([record("q0")])
    assert "synthetic" not in said("report", code=1) + said("worst")
    said("report", "--junit", "gates.xml", code=1)
    assert "propert" not in Path("gates.xml").read_text(encoding="utf-8")


def test_part_notes_leaks_and_failed_judgements_are_told(keep: Keep, said: Said) -> None:
    failed = (Judgement(judge="llm.groundedness", score=None, reason="no reply"),)
    keep([record("q0", judgements=failed)], notes=["2 quotes stand nowhere"], leaks=LEAKS)
    out = flat(said("report", code=1))
    for told in (
        "1 question (test part)",
        "note: 2 quotes stand nowhere",
        "leak: like question: question q4, t4",
        "7 leaks in all",
        "llm.groundedness: 1 judgement failed and count",
    ):
        assert told in out, told
    assert "question q5" not in out


def test_a_metric_that_no_question_has_is_named(keep: Keep, said: Said) -> None:
    keep([record("q0")])
    assert "no question has the metric citation_recal; did you mean citation_recall?" in flat(said("report", code=1))


def test_ids_are_whole_in_80_columns(keep: Keep, said: Said) -> None:
    run = keep([record(f"{LONG}-{n}") for n in range(2)])
    listed = said("runs")
    assert run in listed
    assert "c" * 16 in listed
    assert "…" not in listed
    folded = said("worst").replace("│", "").replace("\n", "").replace(" ", "")
    assert f"{LONG}-1" in folded


def test_a_question_is_found_by_the_end_of_its_id(keep: Keep, said: Said) -> None:
    keep([record("one/q1"), record("two/q2"), record("one/q3"), record("two/q3")])
    assert "id: one/q1" in said("show", "last", "q1")
    assert "name one by its id: one/q3, two/q3" in said("show", "last", "q3", code=2)


def test_what_stands_in_labels_does_not_steer_the_terminal(keep: Keep, said: Said) -> None:
    keep([record("q\x1b[2J", segment="red \x1b[31m", error="no \x1b[31m")])
    assert "\x1b" not in said("report", code=1) + said("worst") + said("show", "last", "long")


@pytest.mark.parametrize("command", [("report",), ("worst",), ("show", "last", "q0"), ("label",)])
def test_a_run_without_an_answer_is_said_in_one_line(keep: Keep, said: Said, command: tuple[str, ...]) -> None:
    run = keep([])
    out = said(*command, code=2)
    assert out == f"error: run {run} has no answered question yet; go on with ragkit eval run --resume\n"


def test_gates_on_one_metric_are_two_tests_that_say_what_is_demanded(keep: Keep, said: Said) -> None:
    keep([record("q0", metrics={"contained": 0.5})])
    said("report", "--junit", "gates.xml", code=1)
    names = [case.attrib["name"] for case in ElementTree.parse("gates.xml").getroot().iter("testcase")]
    assert names == ["contained at least 0.1", "contained at least 0.9"]
    (failure,) = ElementTree.parse("gates.xml").getroot().iter("failure")
    assert failure.attrib["message"].startswith("measured 0.500 (")
    assert failure.attrib["message"].endswith("demanded at least 0.9")


def check(number: int, title: str, *names: str, verdict: Verdict = "pass") -> Check:
    parts = tuple(Measured(name, 0.5, 0.123, 0.987, 1234, "at least 0.85", verdict) for name in names)
    return Check(number, title, parts, evidence=({"id": "q"},) if verdict == "fail" else ())


def test_the_checklist_fits_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ("answers whose lines do not add up", "unanswerable refused", "questions that ended in an error")
    checks = [check(n, "the system prompt prevents hallucination", *names) for n in range(1, 9)]
    checks.append(check(9, "cost is tracked and within budget", *names, verdict="fail"))
    console().print(checklist_table(checks))
    table = capsys.readouterr().out
    assert "…" not in table
    assert table.count("unanswerable refused") == 9
    assert len(table.splitlines()) <= 1 + 9 * 5
    (_, line) = lines_below(checks, {9: Path("evidence/9-cost.jsonl")})
    assert line.plain == "  9-cost.jsonl (1 row)"


def test_dollars_of_one_answer_are_not_rounded_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    spent = Measured("dollars a question", 0.0000123, 0.0000123, 0.0000123, 6, "at most 1e-06", "fail")
    console().print(checklist_table([Check(9, "cost", (spent,))]))
    assert "1.2e-05" in capsys.readouterr().out


def test_labelling_marks_synthetic_questions(keep: Keep, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    keep([record("q0", synthetic=True)])
    monkeypatch.setattr("typer.getchar", lambda echo=False: "y")
    assert "1 of 1: q0 (synthetic)" in said("label")


@pytest.mark.integration
def test_made_questions_are_called_synthetic(ragkit: Said, tmp_path: Path) -> None:
    out = ragkit("eval", "generate", str(tmp_path / "made.jsonl"), "--count", "3")
    assert "synthetic question" in out
    assert 'take "synthetic":true out of the lines that you have checked' in out
