"""`ragkit eval`: a suite run, killed and resumed, shown again, compared, and checked."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ragkit.cli.main import main
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import Examiner
from ragkit.evaluate.record import Record
from ragkit.evaluate.runs import Runs

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]

QUESTIONS = [
    {
        "id": "rma",
        "question": "How long is an RMA number valid?",
        "answers": ["30 days"],
        "evidence": [{"document": "guides/returns.md", "quote": "valid for 30 days"}],
    },
    {
        "id": "port",
        "question": "Which port does the hub need?",
        "answers": ["8443"],
        "evidence": [{"document": "guides/network.md", "quote": "needs port 8443"}],
        "segment": "network",
    },
    {
        "id": "door",
        "question": "What did not close?",
        "answers": ["The door of the freezer"],
        "evidence": [{"document": "tickets.jsonl", "quote": "The door of the freezer did not close."}],
    },
    {"id": "moon", "question": "Who walked on the moon?", "answerable": False},
]


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """A suite over the index that the config names."""
    rows = "".join(f"{json.dumps(row)}\n" for row in QUESTIONS)
    (tmp_path / "questions.jsonl").write_text(rows, encoding="utf-8")
    path = tmp_path / "suite.yaml"
    path.write_text(
        "name: small\ndata:\n  - {path: questions.jsonl}\n"
        "gates:\n  - {metric: contained, at_least: 0.1}\n  - {metric: false_refusals, at_most: 0.9}\n",
        encoding="utf-8",
    )
    return str(path)


def test_a_run_is_a_figure_for_each_metric_and_kept(ragkit: Run, suite: str, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs.sqlite")
    done = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json"))
    assert (done["questions"], done["failed"], done["passed"]) == (4, 0, True)
    assert done["metrics"]["fused.chunk.recall@10"] == 1.0
    assert done["counts"]["contained"] == 3
    assert [gate["verdict"] for gate in done["gates"]] == ["pass", "pass"]
    assert sum(done["outcomes"].values()) == 4
    assert set(done["segments"]) == {"network"}
    listed = json.loads(ragkit("eval", "runs", "--runs", runs, "--json"))["runs"]
    assert [(run["id"], run["done"]) for run in listed] == [(done["run"], 4)]


def test_a_finished_run_is_shown_again_byte_for_byte_without_its_system(
    ragkit: Run, suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = str(tmp_path / "runs.sqlite")
    first = ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json")
    pages = [tmp_path / f"{name}.html" for name in ("a", "b")]
    for page in pages:
        # No config: there is no index and no model that could be asked.
        assert main(["eval", "report", "last", "--runs", runs, "--json", "--html", str(page)]) == 0
        assert capsys.readouterr().out == first
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert main(["eval", "report", "--runs", runs, "--junit", str(tmp_path / "gates.xml")]) == 0
    assert 'tests="2" failures="0"' in (tmp_path / "gates.xml").read_text(encoding="utf-8")


def test_people_read_tables(ragkit: Run, suite: str, tmp_path: Path) -> None:
    out = ragkit("eval", "run", "--suite", suite, "--runs", str(tmp_path / "runs.sqlite"))
    for told in ("4 questions", "contained", "where answers were lost", "gates", "pass", "by segment", "network"):
        assert told in out, told


def test_a_gate_that_fails_ends_with_1(ragkit: Run, suite: str, tmp_path: Path) -> None:
    path = Path(suite)
    path.write_text(path.read_text().replace("contained, at_least: 0.1", "exact_match, at_least: 1.0"))
    out = ragkit("eval", "run", "--suite", suite, "--runs", str(tmp_path / "r.sqlite"), "--json", code=1)
    assert [gate["verdict"] for gate in json.loads(out)["gates"]] == ["fail", "pass"]


def test_runs_are_compared_question_by_question(ragkit: Run, suite: str, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs.sqlite")
    before = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json"))["run"]
    off = ["--set", "generation.refusal.min_confidence=1"]
    after = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", runs, *off, "--json", code=1))["run"]
    compared = json.loads(ragkit("eval", "compare", before, after, "--runs", runs, "--json"))
    assert compared["verdict"] == "too small a set"
    assert compared["questions"] == 4
    assert {flip["after"] for flip in compared["flips"]} == {"refused though there"}
    text = ragkit("eval", "compare", before, before, "--runs", runs, "--markdown")
    assert text.startswith(f"**too small a set**: run `{before}` against `{before}` on 4 questions")


def test_the_worst_are_listed_and_one_is_followed(ragkit: Run, suite: str, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs.sqlite")
    off = ["--set", "generation.refusal.min_confidence=1"]
    ragkit("eval", "run", "--suite", suite, "--runs", runs, *off, "--json", code=1)
    worst = json.loads(ragkit("eval", "worst", "--runs", runs, "--json"))["questions"]
    assert [row["outcome"] for row in worst] == ["refused though there"] * 3
    shown = ragkit("eval", "show", "last", "rma", "--runs", runs)
    assert "labelled place: guides/returns.md: came to results" in shown
    assert "refused though there" in shown
    followed = json.loads(ragkit("eval", "show", "last", "RMA number", "--runs", runs, "--json"))
    assert followed["case"]["id"] == "rma"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "last", "nothing like it"), "no question of this run is or has 'nothing like it'"),
        (("report", "1999"), "there is no run 1999"),
    ],
)
def test_what_is_not_there_is_said(
    ragkit: Run, suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    runs = str(tmp_path / "runs.sqlite")
    ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json")
    assert main(["eval", *arguments, "--runs", runs]) == 2
    assert said in capsys.readouterr().err


def test_a_killed_run_goes_on_without_asking_again(ragkit: Run, suite: str, tmp_path: Path) -> None:
    """kill -9 after the first record; the rest is asked with --resume, and the first is not asked again."""
    many = [{**row, "id": f"{row['id']}{n}"} for n in range(15) for row in QUESTIONS]
    (tmp_path / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in many), encoding="utf-8")
    runs = tmp_path / "runs.sqlite"
    command = [sys.executable, "-m", "ragkit.cli.main", "eval", "run", "--suite", suite, "--runs", str(runs), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (kept := _records(runs)) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    kept = _records(runs)
    assert 0 < len(kept) < 60
    done = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", str(runs), "--resume", "--json"))
    assert done["questions"] == 60
    after = _records(runs)
    assert len(after) == 60
    assert {place: after[place] for place in kept} == kept, "what was kept before the kill was not touched"
    assert len(json.loads(ragkit("eval", "runs", "--runs", str(runs), "--json"))["runs"]) == 1


def test_a_record_is_kept_when_its_question_is_done_whatever_others_take(
    ragkit: Run, suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs.sqlite"
    examine: Any = Examiner.examine
    seen: list[int] = []

    def waiting(self: Examiner, case: Case) -> Record:
        if case.id == "rma":  # the first
            ends = time.monotonic() + 30
            while len(_records(runs)) < 3 and time.monotonic() < ends:
                time.sleep(0.01)
            seen.append(len(_records(runs)))
        return examine(self, case)

    monkeypatch.setattr(Examiner, "examine", waiting)
    done = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", str(runs), "--concurrency", "2", "--json"))
    assert seen == [3]
    assert done["questions"] == 4


def test_labels_and_files_that_the_index_does_not_have_are_told(ragkit: Run, suite: str, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "How hot?", "evidence": [{"document": "beeta.md"}]},
        {
            "id": "b",
            "question": "How wet?",
            "evidence": [{"document": "guides/returns.md", "quote": "nowhere to be seen"}],
        },
        {"id": "c", "question": "How old?", "evidence": [{"document": "guides/returns.md", "start": 0, "end": 90_000}]},
    ]
    (tmp_path / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    found = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", str(tmp_path / "r.sqlite"), "--json", code=1))
    assert found["notes"] == [
        "guides/returns.md does not have the place that 2 labels name, the first of question b",
        "the index has no document beeta.md that 1 labels name, the first of question a",
    ]


def test_a_tenant_is_asked_about_its_own_documents_only(ragkit: Run, suite: str, tmp_path: Path) -> None:
    row = {**QUESTIONS[0], "tenant": "bolt"}  # no document has the field
    (tmp_path / "questions.jsonl").write_text(json.dumps(row), encoding="utf-8")
    runs = str(tmp_path / "r.sqlite")
    found = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json", code=1))
    assert found["outcomes"] == {"not retrieved": 1}


def test_a_run_that_goes_on_is_judged_by_the_gates_of_today(ragkit: Run, suite: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs.sqlite"
    ragkit("eval", "run", "--suite", suite, "--runs", str(runs), "--json")
    with sqlite3.connect(runs) as connection:
        connection.execute("UPDATE runs SET ended = NULL")
        connection.execute("DELETE FROM records WHERE position = 2")
    text = Path(suite).read_text(encoding="utf-8")
    Path(suite).write_text(f"{text}  - {{metric: f1, at_least: 1.5}}\n", encoding="utf-8")
    ragkit("eval", "run", "--suite", suite, "--runs", str(runs), "--resume", "--json", code=1)
    assert len(json.loads(ragkit("eval", "runs", "--runs", str(runs), "--json"))["runs"]) == 1
    assert json.loads(ragkit("eval", "report", "--runs", str(runs), "--json", code=1))["passed"] is False


def test_going_on_tells_what_it_goes_on_with(
    ragkit: Run, suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.sqlite"
    ask = ["eval", "run", "--suite", suite, "--runs", str(path), "--resume", "--json"]
    assert main(ask) == 0
    assert "no run of the same things is unfinished: a new one begins" in capsys.readouterr().err
    with Runs(path) as runs:
        run = runs.find("last")
        runs.describe(run.id, run.details | {"versions": {**run.details["versions"], "numpy": "0.1"}})
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE runs SET ended = NULL")
        with runs.lease(run.id):
            assert main(ask) == 2
        assert f"run {run.id} is still going in another process" in capsys.readouterr().err
    assert main(ask) == 0
    told = capsys.readouterr()
    assert f"run {run.id} goes on" in told.err
    assert "asked with numpy 0.1, now " in told.err
    assert any("numpy 0.1" in note for note in json.loads(told.out)["notes"])


def test_a_run_stops_at_its_budget_and_goes_on_under_a_higher_one(ragkit: Run, suite: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs.sqlite"
    text = Path(suite).read_text(encoding="utf-8")
    ask = ("eval", "run", "--suite", suite, "--runs", str(runs), "--resume", "--json")
    Path(suite).write_text(f"{text}budget: {{max_questions: 2}}\n", encoding="utf-8")
    for _ in range(2):
        assert "is used up (max_questions 2) after 2 questions" in ragkit(*ask, code=2)
        assert len(_records(runs)) == 2
    # The embedding service has no known price.
    Path(suite).write_text(f"{text}budget: {{max_usd: 1}}\n", encoding="utf-8")
    assert "cost is not known" in ragkit(*ask, code=2)
    Path(suite).write_text(text, encoding="utf-8")
    assert json.loads(ragkit(*ask))["questions"] == 4
    assert len(json.loads(ragkit("eval", "runs", "--runs", str(runs), "--json"))["runs"]) == 1


def _records(path: Path) -> dict[int, bytes]:
    """The records that are on disk, by their position."""
    if not path.exists():
        return {}
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT position, record FROM records").fetchall())
    except sqlite3.OperationalError:  # the tables are not there yet
        return {}
    finally:
        connection.close()


def test_the_checklist_has_nine_rows(ragkit: Run, suite: str, tmp_path: Path) -> None:
    where = ["--runs", str(tmp_path / "runs.sqlite"), "--evidence", str(tmp_path / "evidence")]
    # The embedding service has no known price, which fails the last row.
    junit = tmp_path / "ci" / "checks.xml"
    found = json.loads(ragkit("eval", "checklist", "--suite", suite, *where, "--junit", str(junit), "--json", code=1))
    assert ElementTree.parse(junit).getroot().attrib["tests"] == "9"
    assert [check["number"] for check in found["checks"]] == list(range(1, 10))
    verdicts = {check["number"]: check["verdict"] for check in found["checks"]}
    assert (verdicts[2], verdicts[9]) == ("pass", "fail")
    assert verdicts[3] == "not shown", "three questions show nothing"
    assert all(Path(check["evidence"]).is_file() for check in found["checks"] if check["evidence"])


@pytest.fixture
def parted(tmp_path: Path) -> str:
    """A suite whose tuning part is about other documents than its test part."""
    for name, rows in (("tuning", QUESTIONS[:1]), ("test", QUESTIONS[1:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    path = tmp_path / "parted.yaml"
    path.write_text("name: parted\ndata:\n  - {path: tuning.jsonl, part: tuning}\n  - {path: test.jsonl}\n")
    return str(path)


@pytest.mark.parametrize("trials", [(), ("--trials", "3")], ids=["grid", "sampled"])
def test_a_sweep_chooses_on_the_tuning_part_and_measures_once_on_the_test_part(
    ragkit: Run, parted: str, tmp_path: Path, trials: tuple[str, ...]
) -> None:
    page = tmp_path / "frontier.html"
    base = ["--set", "retrieval.strategy=sparse", "--metric", "fused.document.mrr@10"]
    tried = ["--try", "retrieval.strategy=dense,hybrid", "--try", "retrieval.candidates=5,20", "--html", str(page)]
    found = json.loads(ragkit("eval", "sweep", "--suite", parted, *base, *tried, *trials, "--json"))
    assert found["questions"] == {"tuning": 1, "test": 2}
    assert 1 <= len(found["trials"]) <= (3 if trials else 4)
    # Every system finds the one tuning question at once, so nothing is better than the config as it is.
    assert (found["winner"], found["test"]["gain"], found["better"]) == ({}, None, False)
    assert "milliseconds a question" in page.read_text(encoding="utf-8")


def test_a_sweep_needs_a_tuning_part_that_shares_nothing_with_the_test_part(
    ragkit: Run, suite: str, parted: str, tmp_path: Path
) -> None:
    tried = ["--try", "retrieval.strategy=dense"]
    assert "the suite has no tuning part" in ragkit("eval", "sweep", "--suite", suite, *tried, code=2)
    (tmp_path / "tuning.jsonl").write_text((tmp_path / "test.jsonl").read_text())
    said = ragkit("eval", "sweep", "--suite", parted, *tried, code=2)
    assert "things in common, such as test question test/port and tuning question tuning/port (same question)" in said


def test_a_run_asks_the_test_part_unless_told_otherwise(ragkit: Run, parted: str, tmp_path: Path) -> None:
    run = ["eval", "run", "--suite", parted, "--runs", str(tmp_path / "runs.sqlite"), "--json"]
    found = {part: json.loads(ragkit(*run, "--part", part)) for part in ("test", "tuning", "all")}
    counts = {part: (each["part"], each["questions"]) for part, each in found.items()}
    assert counts == {"test": ("test", 3), "tuning": ("tuning", 1), "all": ("all", 4)}
    assert json.loads(ragkit(*run))["questions"] == 3


def test_a_wrong_value_of_a_sweep_is_said_before_any_work(ragkit: Run, parted: str) -> None:
    said = ragkit("eval", "sweep", "--suite", parted, "--try", "retrieval.strategy=dense,spars", code=2)
    assert "did you mean sparse?" in said
    tried = ("eval", "sweep", "--suite", parted, "--try", "generation.max_sentences=1,2")
    assert "does not depend on it" in ragkit(*tried, code=2)
    twice = ("--try", "retrieval.top_k=1", "--try", "retrieval.top_k=2")
    assert "is there twice" in ragkit("eval", "sweep", "--suite", parted, *twice, code=2)
    assert "write it as key=value" in ragkit("eval", "sweep", "--suite", parted, "--try", "retrieval.top_k", code=2)


def test_questions_are_made_and_parted(ragkit: Run, tmp_path: Path) -> None:
    made = tmp_path / "made.jsonl"
    written = json.loads(ragkit("eval", "generate", str(made), "--count", "3", "--json"))
    assert written["questions"] == len(made.read_text(encoding="utf-8").splitlines()) >= 1
    assert '"synthetic":true' in made.read_text(encoding="utf-8")
    assert "is there already" in ragkit("eval", "generate", str(made), code=2)
    assert "needs a language model" in ragkit("eval", "generate", str(tmp_path / "b"), "--by-model", code=2)
    (tmp_path / "q.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in QUESTIONS), encoding="utf-8")
    parts = json.loads(ragkit("eval", "split", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / "parts"), "--json"))
    assert parts["tuning_questions"] + parts["test_questions"] == 4
    assert parts["leaks"] == []
    (tmp_path / "q.jsonl").write_text(f"{json.dumps(QUESTIONS[0])}\n", encoding="utf-8")
    told = ragkit("eval", "split", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / "one"), code=2)
    assert "one part would be empty" in told
    assert not (tmp_path / "one").exists()


def test_judges_score_a_run_once_and_are_corrected_by_labels(
    ragkit: Run, suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = str(tmp_path / "runs.sqlite")
    Path(suite).write_text(Path(suite).read_text() + "judges:\n  - {kind: lexical, measures: [support]}\n")
    done = json.loads(ragkit("eval", "run", "--suite", suite, "--runs", runs, "--json"))
    assert done["metrics"]["lexical.support"] == 1.0
    assert done["counts"]["lexical.support"] == 3, "a refusal is no answer to judge"
    again = json.loads(ragkit("eval", "judge", "last", "--runs", runs, "--json"))
    assert again == done
    more = json.loads(ragkit("eval", "judge", "last", "--kind", "embedding", "--runs", runs, "--json"))
    assert {"lexical.support", "embedding.support"} <= more["metrics"].keys()
    keys = iter("yyxnq")
    monkeypatch.setattr("typer.getchar", lambda echo=False: next(keys))
    told = ragkit("eval", "label", "--runs", runs)
    assert "3 answers have a label, 2 are good" in told
    assert "lexical.support: 1.000 by itself on 3 answers (0 failed), corrected by 3 labels" in told
    assert "too few labels, it takes 30" in told
    labelled = json.loads(ragkit("eval", "label", "--runs", runs, "--json"))
    assert labelled["labels"] == 3
    assert {each["judge"] for each in labelled["judges"]} == {"lexical.support", "embedding.support"}
