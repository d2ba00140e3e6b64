"""`ragkit train`: what helps is installed, and no other line of the config changes; what does not changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit import Ragkit
from ragkit.cli.main import main
from ragkit.config import load_config
from tests.train.handbook import NAMES, write_handbook

Ask = Callable[..., str]


@pytest.fixture
def handbook(tmp_path: Path, embedding_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the handbook of 24 names, its index and `ragkit.yaml`, as the working directory."""
    write_handbook(tmp_path, 24)
    (tmp_path / "ragkit.yaml").write_text(
        f"""# ours
ingestion:
  sources: [docs]   # all of it
  parsing: {{workers: 1}}
  chunking: {{strategy: recursive, chunk_size: 64, overlap: 0}}
  embedding: {{backend: openai, model: words, base_url: "{embedding_url}"}}
retrieval:
  top_k: 8   # enough
  reranking:
    candidates: 4
""",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert main(["index", "--json"]) == 0
    return tmp_path


TRAIN = ("train", "reranker", "--questions", "questions.jsonl", "--synthetic", "0")


@pytest.mark.integration
def test_a_reranker_that_helps_is_installed_and_another_run_trains_nothing(
    handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (handbook / "ragkit.yaml").read_text()
    capsys.readouterr()
    assert main([*TRAIN, "--steps", "14", "--dry-run", "--json"]) == 0
    printed = capsys.readouterr()
    assert (handbook / "ragkit.yaml").read_text() == before
    said = json.loads(printed.out)
    assert said["helps"]
    assert not said["installed"]
    assert said["gains"][0]["ci95"][0] > 0
    assert "time " in printed.err
    assert "14 steps of" in printed.err
    assert main([*TRAIN, "--steps", "14"]) == 0
    out = capsys.readouterr().out
    assert "was trained before" in out
    after = (handbook / "ragkit.yaml").read_text()
    assert [line for line in after.splitlines() if line in before.splitlines()] == before.splitlines()
    reranking = load_config(Path("ragkit.yaml")).config.retrieval.reranking
    assert (reranking.backend, reranking.model) == ("cross_encoder", said["model"])
    card = (Path(said["model"]) / "README.md").read_text()
    assert "12 questions" in card
    assert "nDCG@10 over no reranker" in card
    with Ragkit.from_config("ragkit.yaml") as rag:
        first = {
            reranked: sum(
                "In force" in rag.search(f"What is the warranty of the {name}?", rerank=reranked)[0].chunk.text
                for name in NAMES[:8]
            )
            for reranked in (True, False)
        }
    assert first[True] > first[False]


@pytest.mark.integration
def test_a_run_that_was_killed_goes_on_and_one_that_shows_no_gain_changes_nothing(
    handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (handbook / "ragkit.yaml").read_bytes()
    # Eight of its questions are left for the report: too few to show anything, whatever the gain.
    lines = (handbook / "questions.jsonl").read_text().splitlines()[:16]
    (handbook / "questions.jsonl").write_text("\n".join(lines))
    command = [sys.executable, "-m", "ragkit.cli.main", *TRAIN, "--steps", "400"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("time "):
            break
    time.sleep(1)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    work = next((handbook / ".ragkit/models").glob("*.work"))
    plan = json.loads((work / "training.json").read_text())
    assert plan["steps"] == 400
    (work / "training.json").write_text(json.dumps({**plan, "steps": 2}))  # as if nearly done
    capsys.readouterr()
    assert main([*TRAIN, "--steps", "400"]) == 1
    out = capsys.readouterr().out
    assert "goes on from its checkpoint" in out
    assert "2 steps in" in out
    assert "not installed" in out
    assert "ragkit.yaml is as it was" in out
    assert (handbook / "ragkit.yaml").read_bytes() == before
    assert not work.exists()


def test_what_cannot_be_trained_says_why(handbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*args: str) -> str:
        capsys.readouterr()
        assert main(args) == 2
        return capsys.readouterr().err

    assert "behind a server, and cannot be trained" in error("train", "embedding", "--questions", "questions.jsonl")
    few = (handbook / "questions.jsonl").read_text().splitlines()[:9]
    Path("few.jsonl").write_text("\n".join(few))
    said = error("train", "answerability", "--questions", "few.jsonl")
    assert "9 labelled questions" in said
    assert "too few to calibrate on" in said
    assert "--layers x" in error(*TRAIN, "--layers", "x")
    Path("docs/owned.jsonl").write_text(json.dumps({"id": "1", "text": "Ours.", "metadata": {"tenant": "acme"}}))
    assert main(["index", "--json"]) == 0
    assert "documents of tenants" in error(*TRAIN)
    Path("ragkit.yaml").unlink()
    assert "no config file to install a result in; run: ragkit init" in error(*TRAIN)


def test_refusals_are_calibrated_and_the_config_changes_only_if_that_is_better(
    handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (handbook / "questions.jsonl").read_text().splitlines()
    rows += [json.dumps({"question": f"Who won the cup in {1950 + n}?", "answerable": False}) for n in range(20)]
    Path("asked.jsonl").write_text("\n".join(rows))
    # Chances that are far too low on this corpus: nearly every question is refused.
    spoilt = (handbook / "ragkit.yaml").read_text() + "generation: {refusal: {intercept: -6.0}}  # ours\n"
    (handbook / "ragkit.yaml").write_text(spoilt)
    capsys.readouterr()
    assert main(["train", "answerability", "--questions", "asked.jsonl", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"answerable": 48, "document taken out": 48, "labelled unanswerable": 20}
    assert said["squared_error"]["high"] < 0
    assert said["after"]["refused"]["answerable"]["mean"] < said["before"]["refused"]["answerable"]["mean"]
    refusal = load_config(Path("ragkit.yaml")).config.generation.refusal
    assert (refusal.slope, refusal.intercept, refusal.min_confidence) == (
        said["slope"],
        said["intercept"],
        said["threshold"],
    )
    assert (handbook / "ragkit.yaml").read_text().endswith("}}  # ours\n")
    installed = (handbook / "ragkit.yaml").read_bytes()
    assert main(["train", "answerability", "--questions", "asked.jsonl"]) == 1
    assert "not installed" in capsys.readouterr().out
    assert (handbook / "ragkit.yaml").read_bytes() == installed
