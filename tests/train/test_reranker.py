"""A run that trains a reranker on one's own index: checked before it begins, and resumed where its checkpoint was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit import Ragkit
from ragkit.errors import ConfigError
from ragkit.evaluate.cases import read_jsonl
from ragkit.train.folder import RunFolder
from ragkit.train.questions import Asked, parted, placed
from ragkit.train.reranker import RerankerSettings, base_folder, check_layers, train_reranker
from tests.train.conftest import config_of
from tests.train.test_cross_encoder import build

STEPS = 40


def test_layers_are_checked_against_the_base(tmp_path: Path) -> None:
    base = base_folder(str(build(tmp_path / "base")))
    check_layers(base, None)
    check_layers(base, (0, 2))
    with pytest.raises(ConfigError, match="--layers 0,9: the base has no layer 9; its 3 layers are 0 to 2"):
        check_layers(base, (0, 9))
    with pytest.raises(ConfigError, match="--layers 1,1: name each layer once"):
        check_layers(base, (1, 1))


def run(folder: Path, base: Path, url: str, slow: float = 0.0) -> None:
    """Train in `folder/model` on the index of `folder`, a checkpoint after each step; prints each step."""
    import time

    with Ragkit(config_of(folder, url)) as rag:
        labelled = placed(read_jsonl(folder / "questions.jsonl"), rag.snapshot())
        settings = RerankerSettings(base=str(base), layers=(0, 1), steps=STEPS, lists=2, wrong=2)

        def progress(step: int, _: int, __: float) -> None:
            print("step", step, flush=True)
            time.sleep(slow)

        train_reranker(
            rag,
            Asked(labelled),
            parted(labelled),
            settings,
            RunFolder(folder / "model", "key"),
            lambda word, line: print(word, line, flush=True),
            progress,
            save_every_s=0.0,
        )


@pytest.mark.integration
def test_a_run_that_was_killed_does_not_do_the_steps_again_that_its_checkpoint_holds(
    tmp_path: Path, handbook: Path, embedding_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "questions.jsonl").write_bytes((handbook / "questions.jsonl").read_bytes())
    with Ragkit(config_of(tmp_path, embedding_url)) as own:
        own.index([handbook / "docs"])
    base = build(tmp_path / "base")
    code = "import sys; from pathlib import Path; from tests.train.test_reranker import run; p = sys.argv[1:];"
    code += "run(Path(p[0]), Path(p[1]), p[2], 0.2)"
    command = [sys.executable, "-c", code, str(tmp_path), str(base), embedding_url]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert child.stdout is not None
    for line in child.stdout:
        if line == "step 6\n":
            break
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    work = tmp_path / "model.work"
    assert json.loads((work / "training.json").read_text())["steps"] == STEPS
    assert (work / "checkpoint").is_file()
    assert not (tmp_path / "model").exists()
    capfd.readouterr()
    run(tmp_path, base, embedding_url)
    out = capfd.readouterr().out
    steps = [int(line.split()[1]) for line in out.splitlines() if line.startswith("step ")]
    assert "goes on from its checkpoint" in out
    # Step 6 was told before its own checkpoint was written: that of step 5 was there.
    assert steps in (list(range(6, STEPS + 1)), list(range(7, STEPS + 1)))
    assert f"{STEPS} steps in" in out
    assert not work.exists()
    assert (tmp_path / "model" / "model.onnx").is_file()
