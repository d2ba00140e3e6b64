"""Check 2: metadata filters are exact.

Filters are made from the values that the index holds and counted by the store and, one chunk after another, by the
plain definition of a filter; every hit of a search under a filter must meet it, and so must every passage that the
questions of a run with filters got, as far as the record keeps them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ragkit.config.schema import Filter
from ragkit.evaluate.checks import Check, Measured
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.record import Record
from ragkit.evaluate.statistics import rare_event_bound
from ragkit.evaluate.suite import Thresholds
from ragkit.retrieve.why import describe
from ragkit.store.filters import fields_of, matches
from ragkit.system import Ragkit
from ragkit.types import Chunk, Scalar

_FILTERS = 200
_SEARCHED = 40
"""How many of them are searched under too."""
_DEPTH = 50
_VALUES_KEPT = 1000
_EVIDENCE = 50
"""Chunks without a required field that are named, for each field."""

Fields = dict[str, list[Scalar]]


def check_filters(rag: Ragkit, records: Sequence[Record], thresholds: Thresholds, seed: int = 0) -> Check:
    """Share of generated filters that the store and the definition count differently, of questions that got passages
    which their filters leave out, and of chunks that have each required field."""
    rows = [fields_of(chunk) for chunk in _chunks(rag)]
    exact, evidence = _exactness(rag, rows, seed)
    parts = [exact]
    if filtered := [record for record in records if conditions_of(record.case) and record.error is None]:
        astray = [record for record in filtered if _passages_astray(rag, record)]
        evidence += [
            {"question": record.case.id, "filters": list(record.case.filters), "tenant": record.case.tenant}
            for record in astray
        ]
        share, high = len(astray) / len(filtered), rare_event_bound(len(astray), len(filtered))
        name, verdict = "questions with passages that their filters leave out", "fail" if astray else "pass"
        parts.append(Measured(name, share, 0.0, high, len(filtered), "none", verdict))
    for name, least in thresholds.required_fields.items():
        parts.append(_filled(rows, name, least))
        if parts[-1].value != 1.0:
            evidence += _lacking(rag, name)
    return Check(2, "metadata filters are exact", tuple(parts), evidence=tuple(evidence))


def _exactness(rag: Ragkit, rows: Sequence[Fields], seed: int) -> tuple[Measured, list[dict[str, Any]]]:
    """How many generated filters are counted wrongly, or have hits that do not meet them, and which."""
    store = rag.snapshot().store
    chooser = random.Random(seed)  # noqa: S311 - draws a sample
    conditions = generate(rows, chooser, _FILTERS)
    wrong: list[dict[str, Any]] = []
    for number, condition in enumerate(conditions):
        expected = sum(matches(condition, fields) for fields in rows)
        counted = store.count([condition])
        if counted != expected:
            wrong.append({"filter": describe(condition), "store": counted, "definition": expected})
        elif number < _SEARCHED and (strays := _strays(rag, condition)):
            wrong.append({"filter": describe(condition), "hits that do not meet it": strays})
    high = rare_event_bound(len(wrong), len(conditions)) if conditions else 1.0
    share = len(wrong) / len(conditions) if conditions else None
    verdict = "not shown" if share is None else "fail" if wrong else "pass"
    return Measured("filters counted wrongly", share, 0.0, high, len(conditions), "none", verdict), wrong


def generate(rows: Sequence[Fields], chooser: random.Random, count: int) -> list[Filter]:
    """Filters over the fields and values of these chunks: equality, any-of, ranges, and, or, not; some match nothing.

    >>> filters = generate([{"page": [1]}, {"page": [2]}], random.Random(0), 20)
    >>> len(filters), {condition.field for condition in filters} >= {"page"}
    (20, True)
    """
    values: dict[str, list[Scalar]] = {}
    for fields in rows:
        for name, found in fields.items():
            known = values.setdefault(name, [])
            if len(known) < _VALUES_KEPT:
                known += found
    names = sorted(name for name, found in values.items() if found)
    return [_condition(names, values, chooser, depth=2) for _ in range(count)] if names else []


def _condition(names: Sequence[str], values: dict[str, list[Scalar]], chooser: random.Random, depth: int) -> Filter:
    if depth and chooser.random() < 0.4:
        parts = [_condition(names, values, chooser, depth - 1) for _ in range(2)]
        made = {"and": Filter(and_=parts), "or": Filter(or_=parts), "not": Filter(not_=parts[0])}
        return made[chooser.choice(("and", "or", "not"))]
    name = chooser.choice(names)
    value = chooser.choice(values[name])
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    kind = chooser.choice(("eq", "any", "range") if numeric else ("eq", "any", "none"))
    if kind == "eq":
        return Filter(field=name, eq=value)
    if kind == "any":
        return Filter(field=name, any=[value, chooser.choice(values[name])])
    if kind == "range" and isinstance(value, (int, float)):
        bound = chooser.choice(("gt", "gte", "lt", "lte"))
        return Filter.model_validate({"field": name, bound: value})
    return Filter(field=name, eq="no such value")


def _strays(rag: Ragkit, condition: Filter) -> int:
    """Hits of a dense and a sparse search under the filter that do not meet it."""
    store = rag.snapshot().store
    question = describe(condition)
    dense, sparse = store.search(_DEPTH, rag.embedder.embed_question(question), question, [condition])
    found = store.chunks([hit.chunk_id for hit in (*dense, *sparse)])
    return sum(not matches(condition, fields_of(chunk)) for chunk in found.values())


def _passages_astray(rag: Ragkit, record: Record) -> bool:
    """Whether a passage that was found for the question does not meet its filters. Only passages that the record keeps
    are seen: a stray behind them is not."""
    conditions = conditions_of(record.case)
    found = rag.snapshot().store.chunks([passage.chunk_id for passage in record.passages])
    return any(not matches(condition, fields_of(chunk)) for chunk in found.values() for condition in conditions)


def _chunks(rag: Ragkit) -> Iterator[Chunk]:
    snapshot = rag.snapshot()
    for entry in snapshot.manifest.entries():
        yield from snapshot.store.chunks_of(entry.id)


def _filled(rows: Sequence[Fields], name: str, least: float) -> Measured:
    share = sum(bool(fields.get(name)) for fields in rows) / len(rows) if rows else None
    verdict = "not shown" if share is None else "pass" if share >= least else "fail"
    # All chunks were looked at, so there is nothing to estimate.
    return Measured(f"chunks with {name}", share, share, share, len(rows), f"at least {least:g}", verdict)


def _lacking(rag: Ragkit, name: str) -> list[dict[str, Any]]:
    """The first chunks without the field."""
    found = islice((chunk for chunk in _chunks(rag) if not fields_of(chunk).get(name)), _EVIDENCE)
    return [
        {"missing field": name, "document": chunk.source_document, "start": chunk.start, "text": chunk.text}
        for chunk in found
    ]
