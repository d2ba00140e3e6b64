"""A file of questions answered over a real index: from here, and through a provider's batch interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ragkit import Config, Ragkit
from ragkit.batch.local import ask_all
from ragkit.batch.provider import UnderWay, collect, submit, wait_for
from ragkit.batch.questions import AnswersFile, BatchQuestion
from ragkit.cli.ask import as_dict
from ragkit.errors import BudgetExceeded, ConfigError, ServiceError
from ragkit.gateway.ledger import Ledger, Payer, Scope
from tests.batch.batch_server import BatchServer
from tests.gateway.fault_server import FaultServer

SAYS = "The battery lasts 10 hours [Source: lamp.md, section Lamp]."
ASKED = [
    BatchQuestion("battery", "How long does the battery last?"),
    BatchQuestion("again", "How long does the battery last?"),
    BatchQuestion("off topic", "Who wrote the opera about the barber of Seville?"),
    BatchQuestion("kettle", "How many litres does the kettle hold?"),
]
TOTAL = Scope(None, None, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "lamp.md").write_text("# Lamp\n\nThe battery lasts 10 hours. It charges in 2 hours.\n", encoding="utf-8")
    (folder / "kettle.md").write_text(
        "# Kettle\n\nThe kettle holds 2 litres. It boils in 3 minutes.\n", encoding="utf-8"
    )
    with Ragkit(config_in(folder)) as rag:
        rag.index([folder / "lamp.md", folder / "kettle.md"])
    return folder


def config_in(folder: Path, url: str | None = None, *, ledger: Path | None = None, usd: float = 1.0) -> Config:
    model = {"backend": "openai", "model": "gpt", "base_url": url, "timeout_s": 5.0} if url else {}
    budgets: dict[str, Any] = {"ledger": str(ledger), "budgets": [{"per": "total", "usd": usd}]} if ledger else {}
    return Config.model_validate(
        {
            "ingestion": {"chunking": {"chunk_size": 200, "overlap": 30}, "store": {"path": str(folder / "index")}},
            "generation": model,
            "costs": {"prices": {"gpt": {"input": 1.0, "output": 2.0}}, **budgets},
        },
        strict=False,
    )


def rows(path: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


def through(rag: Ragkit, path: Path, asked: list[BatchQuestion] = ASKED) -> UnderWay | None:
    """One run of the command, to its end."""
    with AnswersFile(path, rag.config_hash, asked) as answers:
        begun = submit(rag, answers, payer=Payer(), as_row=as_dict, told=lambda: None)
        if begun is not None:
            ended = wait_for(rag.config, begun, every_s=0.01, told=lambda batch: None)
            collect(rag, answers, begun, ended, payer=Payer(), as_row=as_dict)
        return begun


def test_questions_are_asked_from_here_several_at_once(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Ragkit(config_in(folder)) as rag, AnswersFile(path, rag.config_hash, ASKED) as answers:
        ask_all(rag, answers, payer=Payer(), concurrency=3, as_row=as_dict)
        assert not answers.left
    found = rows(path)
    assert "10 hours" in found["battery"]["answer"]
    assert found["off topic"]["refused"]
    assert found["kettle"]["citations"][0]["source_document"] == "kettle.md"


def test_what_fails_is_noted_and_asked_again(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    asked = ASKED[:1]
    with FaultServer(model="gpt", says=(SAYS,)) as server, Ragkit(config_in(folder, server.url)) as rag:
        server.meets(["500", "ok"])
        with AnswersFile(path, rag.config_hash, asked) as answers:
            ask_all(rag, answers, payer=Payer(), concurrency=1, as_row=as_dict)
            assert answers.failed == 1
        assert "500" in rows(path)["battery"]["error"]
        with AnswersFile(path, rag.config_hash, asked) as answers:
            ask_all(rag, answers, payer=Payer(), concurrency=1, as_row=as_dict)
        assert rows(path)["battery"]["answer"] == SAYS


def test_a_budget_that_is_used_up_ends_the_run_and_keeps_what_is_answered(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with FaultServer(model="gpt", says=(SAYS,)) as server:
        config = config_in(folder, server.url, ledger=tmp_path / "ledger.sqlite", usd=0.0)
        with Ragkit(config) as rag, AnswersFile(path, rag.config_hash, ASKED) as answers:
            with pytest.raises(BudgetExceeded):
                ask_all(rag, answers, payer=Payer(), concurrency=2, as_row=as_dict)
            assert len(answers.left) == len(ASKED)
        assert server.asked == 0


def test_a_batch_is_answered_by_the_same_checks_and_at_its_price(folder: Path, tmp_path: Path) -> None:
    path, ledger = tmp_path / "answers.jsonl", tmp_path / "ledger.sqlite"
    with BatchServer(SAYS, looks=2) as server, Ragkit(config_in(folder, server.url, ledger=ledger)) as rag:
        assert through(rag, path) is not None
        # The same question twice is one request; what is refused is none.
        assert len(server.requests()) == 2
        found = rows(path)
        assert found.keys() == {question.id for question in ASKED}
        assert found["off topic"]["refused"]
        assert found["battery"]["citations"][0]["quote"].startswith("The battery lasts 10 hours")
        # A citation of the lamp is no evidence for the kettle: it is checked as in every answer.
        assert found["battery"]["answer"] == found["again"]["answer"] == SAYS
        half_of_120 = 60e-6
        assert found["battery"]["cost_usd"] == pytest.approx(half_of_120)
        assert found["again"]["cost_usd"] == 0
    with closing(Ledger(ledger)) as kept:
        assert kept.account(TOTAL) == (2 * round(half_of_120 * 1e9), 0)
    assert not path.with_name("answers.jsonl.batch").exists()


def test_a_run_that_does_not_wait_is_taken_up_and_submits_nothing_again(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with BatchServer(SAYS) as server, Ragkit(config_in(folder, server.url)) as rag:
        with AnswersFile(path, rag.config_hash, ASKED) as answers:
            first = submit(rag, answers, payer=Payer(), as_row=as_dict, told=lambda: None)
        again = through(rag, path)
        assert again == first
        assert len(server.batches) == 1
        assert len(rows(path)) == len(ASKED)


@pytest.mark.parametrize("lost", ["/v1/files", "/v1/batches"])
def test_an_answer_that_is_lost_on_the_way_begins_no_second_batch(folder: Path, tmp_path: Path, lost: str) -> None:
    path = tmp_path / "answers.jsonl"
    with BatchServer(SAYS) as server, Ragkit(config_in(folder, server.url)) as rag:
        server.breaks_after = lost
        with pytest.raises(ServiceError):
            through(rag, path)
        through(rag, path)
        assert len(server.batches) == 1
        assert len(rows(path)) == len(ASKED)


def test_a_request_that_failed_says_why_and_is_asked_by_the_next_run(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with BatchServer(SAYS, fails=("does the kettle hold",)) as server, Ragkit(config_in(folder, server.url)) as rag:
        through(rag, path)
        found = rows(path)
        assert "content filter" in found["kettle"]["error"]
        assert found["battery"]["answer"] == SAYS
        server.fails = ()
        through(rag, path)
        assert "error" not in rows(path)["kettle"]
        assert [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()] == [2, 1]


def test_a_batch_that_expired_is_asked_again(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with BatchServer(SAYS, ends="expired") as server, Ragkit(config_in(folder, server.url)) as rag:
        through(rag, path)
        assert rows(path)["battery"]["error"] == "the batch expired"
        server.ends = "completed"
        through(rag, path)
        assert rows(path)["battery"]["answer"] == SAYS


def test_documents_that_change_meanwhile_are_not_answered_from_as_they_were(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "lamp.md"
    own.write_text("# Lamp\n\nThe battery lasts 10 hours.\n", encoding="utf-8")
    path = tmp_path / "answers.jsonl"
    with BatchServer(SAYS) as server, Ragkit(config_in(tmp_path, server.url)) as rag:
        rag.index(own)
        with AnswersFile(path, rag.config_hash, ASKED[:1]) as answers:
            submit(rag, answers, payer=Payer(), as_row=as_dict, told=lambda: None)
        own.write_text("# Lamp\n\nThe battery lasts 12 hours.\n", encoding="utf-8")
        rag.index(own)
        through(rag, path, ASKED[:1])
        assert "the documents may have changed" in rows(path)["battery"]["error"]


def test_a_budget_that_does_not_hold_all_of_a_batch_submits_nothing(folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with BatchServer(SAYS) as server, Ragkit(config_in(folder, server.url, ledger=ledger, usd=0.001)) as rag:
        with pytest.raises(BudgetExceeded):
            through(rag, tmp_path / "answers.jsonl")
        assert not server.batches


def test_a_batch_needs_one_provider(folder: Path, tmp_path: Path) -> None:
    with Ragkit(config_in(folder)) as rag, pytest.raises(ConfigError, match="OpenAI-compatible"):
        through(rag, tmp_path / "answers.jsonl")


@pytest.mark.integration
def test_a_run_that_is_killed_is_taken_up_and_answers_nothing_twice(folder: Path, tmp_path: Path) -> None:
    questions, out, config = tmp_path / "questions.txt", tmp_path / "answers.jsonl", tmp_path / "ragkit.yaml"
    lines = [f"How long does the battery of lamp {number} last?" for number in range(300)]
    questions.write_text("\n".join(lines), encoding="utf-8")
    config.write_text(config_in(folder).model_dump_json(include={"ingestion"}), encoding="utf-8")
    options = ["--out", str(out), "--config", str(config)]
    command = [sys.executable, "-m", "ragkit.cli.main", "batch", str(questions), *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for _ in range(2):
        before = len(out.read_bytes().splitlines()) if out.exists() else 0
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while not out.exists() or len(out.read_bytes().splitlines()) < before + 5:
                assert run.poll() is None
                time.sleep(0.01)
            run.send_signal(signal.SIGKILL)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "are answered already" in ended.stderr
    assert "300 of 300 answered" in ended.stdout
    assert len(rows(out)) == 300
