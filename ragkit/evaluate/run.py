"""Run a suite against a config: read - index - ask every question - keep each record - done.

A run that was cut off goes on where it was, as long as config, questions and documents are the same.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragkit.config.schema import Config
from ragkit.config.show import resolved
from ragkit.errors import ConfigError, RagkitError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import Examiner
from ragkit.evaluate.gold import GoldFinder
from ragkit.evaluate.judges import JudgeSettings, make_judge
from ragkit.evaluate.judges.cache import JudgementCache
from ragkit.evaluate.judges.judging import judge_all
from ragkit.evaluate.leakage import leaks_of
from ragkit.evaluate.record import Record
from ragkit.evaluate.retrieval import default_cache, index_of
from ragkit.evaluate.runs import Run, Runs
from ragkit.evaluate.suite import AskedPart, LoadedSuite, RunBudget
from ragkit.ingest.index import Progress
from ragkit.store.manifest import Manifest
from ragkit.store.open import Snapshot
from ragkit.system import Ragkit
from ragkit.types import Document

Asked = Callable[[int, int, Record], None]
"""Told after each question: how many are done, of how many, and the record."""

_PACKAGES = (
    "ragkit",
    "kreuzberg",
    "qdrant-edge-py",
    "qdrant-client",
    "sentence-transformers",
    "onnxruntime",
    "torch",
    "transformers",
    "llama-cpp-python",
    "vllm",
    "ragas",
    "ir-measures",
    "pytrec-eval-terrier",
    "numpy",
    "scipy",
)


def run_suite(
    loaded: LoadedSuite,
    config: Config,
    runs: Runs,
    *,
    part: AskedPart = "test",
    resume: bool = False,
    complete: bool = False,
    concurrency: int = 1,
    indexing: Progress | None = None,
    asked: Asked | None = None,
    told: Callable[[str], None] | None = None,
) -> Run:
    """Ask every question of a part of the suite and keep the records; gives back the run.

    What would make the figures too good (see `leakage`) is looked for first and kept in the run's details. With
    `resume` the latest unfinished run of the same config, questions and documents goes on; packages that have another
    version now are noted. With `complete` it is the latest run of the same things, finished or not, and only questions
    without an answer (`Record.answered`) are asked; those that another run of the suite asked, before others came or
    were labelled anew, take its answers. `told` hears what that came to. `concurrency` questions are asked at once, by
    threads; more than one is for models behind a server. Raises ConfigError for a concurrency below 1 and a
    part without questions, RagkitError when another process works on the run or the suite's budget is used up, and what
    opening the index raises.
    """
    whole, loaded = loaded, loaded.only(part)
    if concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}", mend="ask at least 1 question at a time")
    placed = placed_config(loaded, config)
    # Figures of one run are of one config, whatever the index is switched to meanwhile.
    with Ragkit(placed, follow=False) as rag:
        notes = list(loaded.notes)
        if loaded.corpus:
            report = rag.index(list(loaded.corpus), wait_s=3600, progress=indexing)
            notes += [f"{name} was not indexed: {reason}" for name, reason in report.failures]
        snapshot = rag.snapshot()
        same = {
            "suite": loaded.suite.name,
            "config_hash": rag.config_hash,
            "data_hash": loaded.data_hash,
            "index_hash": index_fingerprint(snapshot.manifest),
        }
        found = runs.latest(**same) if complete else runs.unfinished(**same) if resume else None
        if found is not None and found.ended and not _unanswered(runs, found):
            return found
        if resume and told is not None:
            told(f"run {found.id} goes on" if found else "no run of the same things is unfinished: a new one begins")
        if found is None:
            notes += _unplaced(loaded, snapshot)
            leaks = leaks_of(whole.cases, whole.tuning, indexed_documents(snapshot.manifest))
            details = _details(loaded, config) | {
                "part": part,
                "notes": notes,
                "leaks": [asdict(leak) for leak in leaks],
            }
            run = runs.begin(**same, seed=loaded.suite.seed, questions=len(loaded.cases), details=details)
        else:
            run = found
        with runs.lease(run.id):
            by_others = _carried_over(runs, run, loaded) if complete else []
            if told is not None:
                for note in by_others:
                    told(note)
            if found is None and by_others:
                runs.describe(run.id, run.details | {"notes": [*notes, *by_others]})
            if found is not None:
                changed = _changed_versions(found)
                if changed and told is not None:
                    told(changed)
                # What it is judged by may have changed; what it measured has not.
                notes = [*found.details.get("notes", ()), *by_others, *([changed] if changed else ())]
                runs.describe(run.id, found.details | {"suite": _described(loaded), "notes": notes})
            done = runs.done(run.id) - (_unanswered(runs, run) if complete else set[int]())
            todo = [position for position in range(len(loaded.cases)) if position not in done]
            kept = [record for record in runs.records(run.id) if record.answered or not complete]
            spent = _Spent(loaded.suite.budget, kept)
            if todo:
                spent.check()
            for count, (position, record) in enumerate(_examined(rag, loaded, todo, concurrency), start=len(done) + 1):
                runs.add(run.id, position, record)
                if asked is not None:
                    asked(count, len(loaded.cases), record)
                spent.add(record)
                if count < len(loaded.cases):
                    spent.check()
            if loaded.suite.judges:
                judge_run(runs, run, loaded.suite.judges, rag)
            runs.finish(run.id)
    return runs.find(run.id)


def _carried_over(runs: Runs, run: Run, loaded: LoadedSuite) -> list[str]:
    """Give a run of a suite that has changed the answers of runs before to questions that are still the same, with the
    same labels, under whatever id; says what came from which run."""
    done = runs.done(run.id) - _unanswered(runs, run)
    wanted: dict[Case, list[int]] = {}
    for position, case in enumerate(loaded.cases):
        if position not in done:
            wanted.setdefault(case.model_copy(update={"id": ""}), []).append(position)
    notes: list[str] = []
    for earlier in runs.like(run):
        if not wanted:
            break
        taken = 0
        for record in runs.records(earlier.id):
            places = wanted.pop(record.case.model_copy(update={"id": ""}), []) if record.answered else []
            taken += len(places)
            for position in places:
                runs.add(run.id, position, record.model_copy(update={"case": loaded.cases[position]}))
        if taken:
            changed = _changed_versions(earlier)
            told = f"{taken} of {run.questions} questions were asked by run {earlier.id}"
            notes.append(f"{told}: {changed}" if changed else told)
    return notes


def _unanswered(runs: Runs, run: Run) -> set[int]:
    """Positions of the questions with a record that nobody answered."""
    records = zip(sorted(runs.done(run.id)), runs.records(run.id), strict=True)
    return {position for position, record in records if not record.answered}


def judge_run(
    runs: Runs, run: Run, judges: Sequence[JudgeSettings], rag: Ragkit, *, retry_failed: bool = False
) -> None:
    """Let judges score the answers of a run; what they said is kept with the records, and not asked for twice.

    With `retry_failed` judgements that failed before are asked for again. Raises what `make_judge` and `judge_all` do.
    """
    embedding = rag.config.ingestion.embedding
    panel = [make_judge(settings, embedding, rag.embedder) for settings in judges]
    records = list(runs.records(run.id))
    with JudgementCache(runs.path) as cache:
        judged = judge_all(records, panel, cache, retry_failed=retry_failed)
    for position, record in zip(sorted(runs.done(run.id)), judged, strict=True):
        runs.add(run.id, position, record)


def placed_config(loaded: LoadedSuite, config: Config) -> Config:
    """The config with its index where it is: its own, or in the user's cache for a suite that names its documents."""
    if not loaded.corpus:
        return config
    return index_of(loaded.corpus, config)


def indexed_documents(manifest: Manifest) -> Iterator[Document]:
    """Every document that the index has the text of, one after another."""
    for entry in manifest.entries():
        document = manifest.document(entry.id)
        if document is not None:
            yield document


def index_fingerprint(manifest: Manifest) -> str:
    """Hash over names and contents of all indexed documents (sha256, 16 hexadecimal digits)."""
    digest = hashlib.sha256()
    for entry in manifest.entries():
        digest.update(f"{entry.name}\x1f{entry.content_hash}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _examined(rag: Ragkit, loaded: LoadedSuite, todo: list[int], concurrency: int) -> Iterator[tuple[int, Record]]:
    examiner = Examiner(rag)
    # Loaded before the clock of the first question runs; a service is not paid for that.
    if rag.config.ingestion.embedding.backend == "sentence_transformers":
        rag.embedder.embed_question("warm up")
    _ = rag.reranker, rag.generator
    if concurrency == 1:
        for position in todo:
            yield position, examiner.examine(loaded.cases[position])
        return
    with ThreadPoolExecutor(concurrency) as pool:
        asked = {pool.submit(examiner.examine, loaded.cases[position]): position for position in todo}
        try:
            # As they end: a record is kept at once, however long an earlier question takes.
            for done in as_completed(asked):
                yield asked[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Spent:
    """What a run has asked and spent, against its budget."""

    def __init__(self, budget: RunBudget, records: Sequence[Record]) -> None:
        self._budget = budget
        self._questions = 0
        self._usd = 0.0
        self._unknown = 0
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        self._questions += 1
        self._usd += record.cost_usd or 0.0
        self._unknown += record.error is None and record.cost_usd is None

    def check(self) -> None:
        """Raise RagkitError if no further question may be asked."""
        budget, said = self._budget, ""
        if budget.max_questions is not None and self._questions >= budget.max_questions:
            said = f"max_questions {budget.max_questions}"
        elif budget.max_usd is not None and self._usd >= budget.max_usd:
            said = f"max_usd {budget.max_usd:g}"
        elif budget.max_usd is not None and self._unknown:
            raise RagkitError("an answer's cost is not known, and the suite has max_usd", mend="set costs.prices")
        if said:
            raise RagkitError(
                f"the budget of the suite is used up ({said}) after {self._questions} questions, ${self._usd:.4f}",
                mend="raise it and go on with --resume, or read what there is with ragkit eval report",
            )


def _changed_versions(run: Run) -> str:
    """Which packages have another version than when the run began, in words; empty if none has."""
    before: dict[str, str] = run.details.get("versions", {})
    now = {"python": platform.python_version(), **versions()}
    changed = [
        f"{name} {before[name]}, now {now.get(name, 'gone')}" for name in before if before[name] != now.get(name)
    ]
    return f"the first questions of this run were asked with {'; '.join(changed)}" if changed else ""


def _details(loaded: LoadedSuite, config: Config) -> dict[str, object]:
    return {
        "suite": _described(loaded),
        "suite_file": str(loaded.path),
        "tuning": sorted(loaded.tuning),
        "config": resolved(config),
        "versions": {"python": platform.python_version(), **versions()},
    }


def _described(loaded: LoadedSuite) -> dict[str, Any]:
    return loaded.suite.model_dump(mode="json", exclude={"judges": {"__all__": {"api_key"}}})


def _unplaced(loaded: LoadedSuite, snapshot: Snapshot) -> list[str]:
    """Labelled places that this index does not have: each is a loss that no retrieval can prevent."""
    finder = GoldFinder(snapshot.manifest, snapshot.store)
    missing: dict[str, list[str]] = {}
    for case in loaded.cases:
        for place in finder.find(case):
            if place.document_id is None:
                missing.setdefault(f"the index has no document {place.document}", []).append(case.id)
            elif not place.found:
                missing.setdefault(f"{place.document} does not have the place", []).append(case.id)
    return [
        f"{what} that {len(ids)} labels name, the first of question {ids[0]}" for what, ids in sorted(missing.items())
    ]


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide on results."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def scratch_folder(suite: Path) -> Path:
    """Where documents taken out of a suite's question files are written; deleting it costs only time."""
    return default_cache() / "questions" / hashlib.sha256(str(suite.resolve()).encode()).hexdigest()[:16]
