"""Part questions into a tuning and a test part, by document, so that no document is asked about in both."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ragkit.evaluate.cases import Case


def split_cases(cases: Sequence[Case], test_share: float = 0.5) -> tuple[list[Case], list[Case]]:
    """(tuning, test), each in the given order.

    Questions that share a document, directly or through a third question, go to one side. Sides are filled in the order
    of a hash of the documents' names, so the split depends neither on the order of the questions nor on a random state.
    Raises ValueError for a share that is not between 0 and 1.

    >>> from ragkit.evaluate.cases import Evidence
    >>> cases = [Case(id=str(n), question="?", evidence=(Evidence(document=f"{n % 3}.md"),)) for n in range(6)]
    >>> tuning, test = split_cases(cases)
    >>> {case.cluster for case in tuning} & {case.cluster for case in test}
    set()
    """
    if not 0 < test_share < 1:
        raise ValueError("the share of the test part lies between 0 and 1")
    groups = _groups(cases)
    ordered = sorted(groups.items(), key=lambda item: hashlib.sha256(item[0].encode("utf-8", "surrogatepass")).digest())
    test: set[str] = set()
    seen = 0
    for _, members in ordered:
        seen += len(members)
        if len(test) + len(members) / 2 <= seen * test_share:
            test.update(members)
    return [case for case in cases if case.id not in test], [case for case in cases if case.id in test]


def _groups(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Ids of questions that hang together, under the first name among their documents."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for case in cases:
        names = [evidence.document for evidence in case.evidence] or [f"\x00{case.id}"]
        for name in names[1:]:
            low, high = sorted((root(names[0]), root(name)))
            parent[high] = low
    groups: dict[str, list[str]] = {}
    for case in cases:
        name = case.evidence[0].document if case.evidence else f"\x00{case.id}"
        groups.setdefault(root(name), []).append(case.id)
    return groups


def write_split(cases: Sequence[Case], folder: Path, test_share: float = 0.5) -> dict[str, str | int]:
    """Write tuning.jsonl, test.jsonl and split.json, which holds the counts and hash of each; gives the latter back."""
    tuning, test = split_cases(cases, test_share)
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, str | int] = {}
    for name, part in (("tuning", tuning), ("test", test)):
        text = "".join(f"{case.model_dump_json(exclude_defaults=True)}\n" for case in part)
        _write(folder / f"{name}.jsonl", text)
        facts |= {f"{name}_questions": len(part), f"{name}_sha256": hashlib.sha256(text.encode()).hexdigest()}
    _write(folder / "split.json", f"{json.dumps(facts, indent=1)}\n")
    return facts


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
