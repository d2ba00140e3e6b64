"""Where a training run works and what it leaves: a folder that appears whole, its plan, its card.

Beside `NAME` a run works in `NAME.work`: the plan, the checkpoint, the trained weights. A run that was killed finds
them by the name, a hash of all that the result depends on, and goes on. What is finished is renamed to `NAME`. A folder
that this run did not make is never emptied, whatever its name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ragkit.durable import sync, write_whole
from ragkit.errors import RagkitError

FACTS = "training.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder. `key` is the hash of all that its result depends on."""

    path: Path
    key: str

    @property
    def work(self) -> Path:
        return self.path.with_name(f"{self.path.name}.work")

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept while training; not there before the first time."""
        return self.work / "checkpoint"

    @property
    def finished(self) -> bool:
        """Whether the model is there already. Raises RagkitError if something else is, there or in `work`."""
        facts = read_facts(self.path)
        if facts.get("key") == self.key:
            return True
        if self.path.exists():
            raise RagkitError(f"{self.path} is there already, and is of another run", mend="name another with --out")
        self._check_work()
        return False

    def _check_work(self) -> None:
        check_work(self.work)
        facts = read_facts(self.work)
        if facts and facts.get("key") != self.key:
            raise RagkitError(
                f"{self.work} holds the checkpoint of another run, which other questions or settings began",
                mend="name another with --out, or delete this folder if that run is not to go on",
            )

    @property
    def reference(self) -> str:
        """The path as the config names a model: never to be taken for the name of one."""
        text = self.path.as_posix()
        return text if self.path.is_absolute() or text.startswith(".") else f"./{text}"

    def plan(self) -> dict[str, Any]:
        """What the run that was begun here decided; empty if there was none. Raises as `finished` does."""
        self._check_work()
        self.work.mkdir(parents=True, exist_ok=True)
        return read_facts(self.work)

    def decide(self, plan: Mapping[str, Any]) -> None:
        """Keep what this run decided, for one that goes on with it."""
        write_whole(self.work / FACTS, json.dumps({**plan, "key": self.key}, indent=1))

    def publish(self, model: Path, facts: Mapping[str, Any], card: str) -> None:
        """Make the folder `model`, which lies in `work`, the result; the rest of `work` goes."""
        (model / "README.md").write_text(card, encoding="utf-8")
        write_whole(model / FACTS, json.dumps({**facts, "key": self.key}, indent=1, default=str))
        for file in model.rglob("*"):
            if file.is_file():
                sync(file)
        model.replace(self.path)
        sync(self.path.parent)
        shutil.rmtree(self.work)

    def describe(self, facts: Mapping[str, Any], card: str) -> None:
        """Replace card and facts of the finished model, such as with figures of another measurement."""
        write_whole(self.path / "README.md", card)
        write_whole(self.path / FACTS, json.dumps({**facts, "key": self.key}, indent=1, default=str))


def check_out(out: Path) -> None:
    """Raise RagkitError if a folder, or the one beside it that a run works in, holds something that no run made."""
    if read_facts(out):
        return  # a kill may have left half of the folder that this model was made in
    if out.exists():
        raise RagkitError(f"{out} is there already, and is no model of ragkit's", mend="name another with --out")
    check_work(out.with_name(f"{out.name}.work"))


def check_work(work: Path) -> None:
    """Raise RagkitError if a folder to work in holds something, and that is of no run."""
    # A run that was killed before its plan was there leaves the folder empty, or with the beginning of the plan.
    if (
        work.exists()
        and not read_facts(work)
        and not (work.is_dir() and all(file.name == f"{FACTS}.part" for file in work.iterdir()))
    ):
        raise RagkitError(
            f"training works in {work}, which is there already and is not ragkit's", mend="name another with --out"
        )


def run_folder(models: Path, kind: str, out: Path | None, depends_on: Mapping[str, Any]) -> RunFolder:
    """The folder of a run: `out`, or one in `models` named by the hash of what its result depends on."""
    text = json.dumps({"kind": kind, **depends_on}, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return RunFolder(out or models / f"{kind}-{key[:8]}", key)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `training.json` of a folder says; empty where there is none that can be read."""
    try:
        facts: object = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def card(title: str, says: str, rows: Mapping[str, Any]) -> str:
    """The README.md of a model: what it is, and a line for each thing known of how it came about."""
    lines = [f"# {title}", "", says, "", f"Made on {datetime.now(UTC):%Y-%m-%d} by ragkit.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"
