"""Part questions into a tuning and a test part, by document, so that no document is asked about in both."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragkit.durable import write_whole
from ragkit.errors import ConfigError
from ragkit.evaluate.cases import Case, other_names


def split_cases(cases: Sequence[Case], test_share: float = 0.5) -> tuple[list[Case], list[Case]]:
    """(tuning, test), each in the given order.

    Questions that share a document, directly or through a third question, are a cluster of `split_queries`, which says
    the rest.

    >>> from ragkit.evaluate.cases import Evidence
    >>> cases = [Case(id=str(n), question="?", evidence=(Evidence(document=f"{n % 3}.md"),)) for n in range(6)]
    >>> tuning, test = split_cases(cases)
    >>> {case.cluster for case in tuning} & {case.cluster for case in test}
    set()
    """
    by_id = {case.id: case for case in cases}
    tuning, test = split_queries(list(by_id), _group_of(cases), test_share)
    return [by_id[identity] for identity in tuning], [by_id[identity] for identity in test]


def split_queries(
    query_ids: Iterable[str], cluster_of: Mapping[str, str], test_share: float = 0.5
) -> tuple[list[str], list[str]]:
    """(tuning, test) of queries by the clusters (documents or articles) that they were written for.

    All queries of a cluster go to the same side: otherwise tuning would see the very passages of the test. Clusters are
    taken in the order of the hash of their names, each to the side that lacks more of its share; so the split depends
    neither on the order of the queries nor on a random state.

    Raises ValueError if `cluster_of` lacks a query, or for a share that is not between 0 and 1.

    >>> split_queries(["q1", "q2", "q3", "q4"], {"q1": "salt", "q2": "sun", "q3": "salt", "q4": "sun"})
    (['q2', 'q4'], ['q1', 'q3'])
    """
    if not 0 < test_share < 1:
        raise ValueError("the share of the test part lies between 0 and 1")
    queries = list(query_ids)
    missing = [query for query in queries if query not in cluster_of]
    if missing:
        raise ValueError(f"no cluster for {len(missing)} queries, the first is {missing[0]!r}")
    members: dict[str, list[str]] = {}
    for query in queries:
        members.setdefault(cluster_of[query], []).append(query)
    tuning: set[str] = set()
    test: set[str] = set()
    for cluster in sorted(members, key=_hash_of):
        ahead = len(tuning) / (1 - test_share) > len(test) / test_share
        (test if ahead else tuning).update(members[cluster])
    return [query for query in queries if query in tuning], [query for query in queries if query in test]


def document_clusters(qrels: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """For each query of a data set the first document that is judged relevant for it (of those judged, if none is), or
    its article where documents are named ARTICLE-PARAGRAPH by numbers.

    >>> document_clusters({"q1": {"12-3": 1, "12-4": 1}, "q2": {"salt.md": 1}})
    {'q1': '12', 'q2': 'salt.md'}
    """
    first = {query: min([name for name in judged if judged[name] > 0] or judged) for query, judged in qrels.items()}
    return {query: name.split("-")[0] if re.fullmatch(r"\d+-\d+", name) else name for query, name in first.items()}


def _hash_of(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def _group_of(cases: Sequence[Case]) -> dict[str, str]:
    """For each question the first name among the documents of all that it hangs together with."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    names_of = {case.id: [evidence.document for evidence in case.evidence] or [f"\x00{case.id}"] for case in cases}
    known = {name for names in names_of.values() for name in names}
    alike = ([name, *(other for other in other_names(name) if other in known)] for name in known)
    for first, *others in (*names_of.values(), *alike):
        for name in others:
            low, high = sorted((root(first), root(name)))
            parent[high] = low
    return {identity: root(names[0]) for identity, names in names_of.items()}


def write_split(tuning: Sequence[Case], test: Sequence[Case], folder: Path) -> dict[str, str | int]:
    """Write tuning.jsonl, test.jsonl and split.json, which holds the counts and hash of each; gives the latter back."""
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, str | int] = {}
    for name, part in (("tuning", tuning), ("test", test)):
        text = "".join(f"{case.model_dump_json(exclude_defaults=True)}\n" for case in part)
        write_whole(folder / f"{name}.jsonl", text)
        facts |= {f"{name}_questions": len(part), f"{name}_sha256": hashlib.sha256(text.encode()).hexdigest()}
    write_whole(folder / "split.json", f"{json.dumps(facts, indent=1)}\n")
    return facts


def check_part(file: Path, part: str) -> None:
    """Raise ConfigError if a split.json beside the file says that `write_split` wrote it as the other part, whatever it
    is called now, or wrote another content under its name."""
    facts = file.parent / "split.json"
    if not facts.is_file() or not file.is_file():
        return
    try:
        written: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
        hashes = {name: written[f"{name}_sha256"] for name in ("tuning", "test")}
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{facts} cannot be read", mend="split the questions again: ragkit eval split") from None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    named = next((name for name in hashes if file.name == f"{name}.jsonl" or digest == hashes[name]), None)
    if named is not None and named != part:
        raise ConfigError(f"{file} is the {named} part of a split, and the suite says part: {part}")
    if named is not None and digest != hashes[named]:
        raise ConfigError(
            f"{file} is not as ragkit eval split wrote it",
            mend="mend the questions before they are split, and split them again",
        )
