"""What a filter means, by hand and by a thousand made-up ones, the same in Python and in every engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from ragkit.config.schema import Filter
from ragkit.errors import ConfigError
from ragkit.store import StoreWriter
from ragkit.store.filters import clause_of, fields_of, matches, parse_filter, seconds
from ragkit.types import Chunk, MetadataValue, Scalar

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode:UserWarning"),
]

MakeChunk = Callable[..., Chunk]

TEXTS = ["", "a", "b", "A", "true", "1", "1.0", "2026-01-02", "ü 😀", 'q"q', " a"]
TIMES = [
    "2026-01-02",
    "2026-01-02T00:00:00",
    "2026-01-02T00:00:00Z",
    "2026-01-02T01:00:00+01:00",
    "2026-01-02 12:30",
    "2025-12-31T23:59:59.999999",
    "1969-07-20",
    "2026-1-2",
    "2026-02-30",
    "20260102",
]
NUMBERS: list[Scalar] = [0, 1, 1.0, -1, 2.5, 0.1, 3, 10**12, -0.0, 1e-9, 2**53]
VALUES: list[Scalar] = [*TEXTS, *TIMES, *NUMBERS, True, False]
BOUNDS: list[Any] = [
    *(value for value in NUMBERS),
    date(2026, 1, 2),
    date(2026, 1, 1),
    datetime(2026, 1, 2),
    datetime(2026, 1, 2, 0, 0, tzinfo=UTC),
    datetime(2026, 1, 2, 1, 0, tzinfo=timezone(timedelta(hours=1))),
    datetime(1969, 7, 20, 0, 0, 1),
]
# The last fields are beyond what the stores index.
FIELDS = [
    "text",
    "number",
    "flag",
    "when",
    "mixed",
    "list",
    "dotted.name",
    'q"q',
    "section",
    "folder",
    "rare 70",
]


POOLS: dict[str, list[Any]] = {
    "text": TEXTS,
    "number": NUMBERS,
    "flag": [True, False],
    "when": TIMES,
    "mixed": VALUES,
    "dotted.name": VALUES,
    'q"q': VALUES,
    "rare 70": VALUES,
}


def random_metadata(choose: random.Random) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {
        name: choose.choice(pool) for name, pool in POOLS.items() if choose.random() < 0.7
    }
    if choose.random() < 0.8:
        metadata["list"] = choose.sample(VALUES, choose.randint(0, 4))
    if choose.random() < 0.5:
        metadata["section_heading"] = choose.choice(["a", "a > b", "b > a > A", " a"])
    metadata["source_document"] = choose.choice(["x.md", "a/x.md", "a/b/x.md", "b/rows.jsonl#7", "a/b/c/d.txt"])
    return metadata


def random_condition(choose: random.Random) -> dict[str, Any]:
    field = choose.choice([*FIELDS, "missing"])
    kind = choose.random()
    wanted = POOLS.get(field, ["a", "a/b", "b", *VALUES]) if choose.random() < 0.7 else [*VALUES, *BOUNDS]
    if kind < 0.3:
        return {"field": field, "eq": choose.choice(wanted)}
    if kind < 0.6:
        return {"field": field, "any": choose.choices(wanted, k=choose.choice([0, 1, 2, 3, 5, 8]))}
    if field == "when" or choose.random() < 0.3:
        bounds = [bound for bound in BOUNDS if isinstance(bound, date)]
    else:
        bounds = NUMBERS
    names = choose.sample(["gt", "gte", "lt", "lte"], choose.choice([1, 1, 2]))
    return {"field": field, **{name: choose.choice(bounds) for name in names}}


def random_filter(choose: random.Random, depth: int) -> dict[str, Any]:
    kind = choose.random()
    if depth == 0 or kind < 0.3:
        return random_condition(choose)
    if kind < 0.5:
        return {"not": random_filter(choose, depth - 1)}
    parts = [random_filter(choose, depth - 1) for _ in range(choose.choice([0, 2, 2, 3]))]
    return {"and" if kind < 0.75 else "or": parts}


@pytest.mark.integration
def test_a_thousand_filters_mean_the_same_in_the_engine(
    open_store: Callable[[], StoreWriter], make_chunk: MakeChunk
) -> None:
    choose = random.Random(20261)
    store = open_store()
    filler: dict[str, MetadataValue] = {f"filler {n}": n for n in range(64)}
    # The first chunk's fields take up all the indexes there are, but for those that every chunk has.
    chunks = [make_chunk(0, "amber", metadata={**random_metadata(choose), **filler})]
    chunks += [make_chunk(n, "amber" if n % 3 else "birch", metadata=random_metadata(choose)) for n in range(1, 120)]
    vectors = np.random.default_rng(0).normal(size=(len(chunks), 8)).astype(np.float32)
    store.upsert(chunks, vectors, 1.0)
    store.finish()
    fields = {chunk.id: fields_of(chunk) for chunk in chunks}
    amber = {chunk.id for chunk in chunks if chunk.text == "amber"}

    sizes: list[int] = []
    for _ in range(1000):
        filters = [Filter.model_validate(random_filter(choose, 3)) for _ in range(choose.choice([1, 1, 1, 1, 1, 2, 3]))]
        expected = {key for key, own in fields.items() if all(matches(one, own) for one in filters)}
        shown = [one.model_dump(exclude_none=True, by_alias=True) for one in filters]
        sizes.append(len(expected))

        assert store.count(filters) == len(expected), shown
        dense, sparse = store.search(200, vectors[0], "amber", filters)
        assert {hit.chunk_id for hit in dense} == expected, shown
        assert {hit.chunk_id for hit in sparse} == expected & amber, shown
        if choose.random() < 0.1:
            alone = store.search(200, vector=vectors[0], filters=filters)
            assert ({hit.chunk_id for hit in alone[0]}, alone[1]) == (expected, [])
            alone = store.search(200, text="amber", filters=filters)
            assert (alone[0], {hit.chunk_id for hit in alone[1]}) == ([], expected & amber)

    # Filters that let nothing or everything through would test little.
    assert sum(0 < size < len(chunks) for size in sizes) > 350


def holds(condition: dict[str, Any], **metadata: MetadataValue) -> bool:
    fields: dict[str, list[Scalar]] = {
        name: value if isinstance(value, list) else [value] for name, value in metadata.items()
    }
    return matches(Filter.model_validate(condition), fields)


NEW_YEAR = date(2026, 1, 1)


@pytest.mark.parametrize(
    ("condition", "metadata", "expected"),
    [
        # A condition holds if it holds for any of the values.
        ({"field": "f", "eq": "b"}, {"f": ["a", "b"]}, True),
        ({"field": "f", "eq": "c"}, {"f": ["a", "b"]}, False),
        ({"field": "f", "any": ["c", "b"]}, {"f": ["a", "b"]}, True),
        ({"field": "f", "gt": 5}, {"f": [1, 9]}, True),
        # Both bounds must hold for the same value.
        ({"field": "f", "gt": 2, "lt": 8}, {"f": [1, 9]}, False),
        ({"field": "f", "gt": 2, "lt": 8}, {"f": [1, 5, 9]}, True),
        # `not` is about the chunk, not about single values.
        ({"not": {"field": "f", "eq": "a"}}, {"f": ["a", "b"]}, False),
        # A missing field has no values.
        ({"field": "f", "eq": "a"}, {}, False),
        ({"field": "f", "gte": 0}, {}, False),
        ({"not": {"field": "f", "eq": "a"}}, {}, True),
        ({"not": {"field": "f", "gte": 0}}, {}, True),
        ({"field": "f", "eq": "a"}, {"f": []}, False),
        # Text is exact.
        ({"field": "f", "eq": "a"}, {"f": "A"}, False),
        ({"field": "f", "eq": "a"}, {"f": "a "}, False),
        # Types never mix.
        ({"field": "f", "eq": 1}, {"f": 1.0}, True),
        ({"field": "f", "eq": 1.0}, {"f": 1}, True),
        ({"field": "f", "eq": "1"}, {"f": 1}, False),
        ({"field": "f", "eq": 1}, {"f": "1"}, False),
        ({"field": "f", "eq": True}, {"f": True}, True),
        ({"field": "f", "eq": True}, {"f": False}, False),
        ({"field": "f", "eq": True}, {"f": 1}, False),
        ({"field": "f", "eq": 1}, {"f": True}, False),
        ({"field": "f", "eq": True}, {"f": "true"}, False),
        ({"field": "f", "eq": "true"}, {"f": True}, False),
        ({"field": "f", "gte": 0}, {"f": True}, False),
        ({"field": "f", "gte": 0}, {"f": "5"}, False),
        # Dates match text that reads as ISO 8601; without a zone it is UTC.
        ({"field": "f", "eq": NEW_YEAR}, {"f": "2026-01-01"}, True),
        ({"field": "f", "eq": NEW_YEAR}, {"f": "2026-01-01T00:00:00Z"}, True),
        ({"field": "f", "eq": NEW_YEAR}, {"f": "2026-01-01T01:00:00+01:00"}, True),
        ({"field": "f", "eq": NEW_YEAR}, {"f": "2026-01-01T01:00:00"}, False),
        ({"field": "f", "eq": NEW_YEAR}, {"f": "1 January 2026"}, False),
        ({"field": "f", "eq": "2026-01-01"}, {"f": "2026-01-01T00:00:00"}, False),
        ({"field": "f", "gte": NEW_YEAR}, {"f": "2026-01-01"}, True),
        ({"field": "f", "gt": NEW_YEAR}, {"f": "2026-01-01"}, False),
        ({"field": "f", "gt": NEW_YEAR}, {"f": "2026-01-01 00:01"}, True),
        ({"field": "f", "lt": NEW_YEAR}, {"f": "2025-12-31T23:59:59"}, True),
        ({"field": "f", "lt": NEW_YEAR}, {"f": "soon"}, False),
        ({"field": "f", "lt": NEW_YEAR}, {"f": 5}, False),
        ({"field": "f", "lt": NEW_YEAR}, {"f": "2025-02-30"}, False),
        # Of nothing: all is true, any is false.
        ({"and": []}, {}, True),
        ({"or": []}, {}, False),
        ({"field": "f", "any": []}, {"f": "a"}, False),
        ({"not": {"or": []}}, {}, True),
        # Combinations.
        ({"and": [{"field": "f", "eq": 1}, {"field": "g", "eq": 2}]}, {"f": 1, "g": 2}, True),
        ({"and": [{"field": "f", "eq": 1}, {"field": "g", "eq": 2}]}, {"f": 1, "g": 3}, False),
        ({"or": [{"field": "f", "eq": 1}, {"field": "g", "eq": 2}]}, {"f": 1, "g": 3}, True),
        ({"not": {"and": [{"field": "f", "eq": 1}, {"field": "g", "eq": 2}]}}, {"f": 1, "g": 3}, True),
        ({"not": {"not": {"field": "f", "eq": 1}}}, {"f": 1}, True),
    ],
)
def test_the_meaning_by_hand(condition: dict[str, Any], metadata: dict[str, MetadataValue], expected: bool) -> None:
    assert holds(condition, **metadata) is expected


def test_combinations_are_written_in_python_with_an_underscore() -> None:
    inner = Filter(field="page_number", gte=3)
    assert Filter(not_=inner) == Filter.model_validate({"not": inner})
    assert Filter(and_=[inner], or_=None) == Filter.model_validate({"and": [inner]})


def test_the_fields_of_a_chunk(make_chunk: MakeChunk) -> None:
    chunk = make_chunk(
        1,
        "text",
        metadata={
            "source_document": "guides/install/linux.md",
            "section_heading": "Install > Linux > Debian",
            "tags": ["a", 2],
            "page_number": 3,
        },
    )

    assert fields_of(chunk) == {
        "source_document": ["guides/install/linux.md"],
        "section_heading": ["Install > Linux > Debian"],
        "section": ["Install", "Linux", "Debian"],
        "folder": ["guides", "guides/install"],
        "tags": ["a", 2],
        "page_number": [3],
    }


@pytest.mark.parametrize(
    ("source", "folders"),
    [
        ("a.md", None),
        ("a/b.md", ["a"]),
        ("a/b/c.jsonl#row/7", ["a", "a/b"]),
        ("a.jsonl#x/y", None),
    ],
)
def test_the_folders_above_a_document(make_chunk: MakeChunk, source: str, folders: list[str] | None) -> None:
    assert fields_of(make_chunk(1, "text", metadata={"source_document": source})).get("folder") == folders


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(1970, 1, 2), 86400.0),
        (datetime(1970, 1, 1, 1), 3600.0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), -3600.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01 00:01", 60.0),
        ("1970-01-01T00:00:00+0100", -3600.0),
        ("1969-12-31", -86400.0),
        ("1970-1-1", None),
        ("1970-13-01", None),
        ("1970-01-01T25:00", None),
        ("1970-01-01 or so", None),
        ("", None),
        (5, None),
        (True, None),
    ],
)
def test_seconds(value: object, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("expression", "met_by", "not_met_by"),
    [
        ("kind=manual", {"kind": "manual"}, {"kind": "guide"}),
        (" kind = manual ", {"kind": "manual"}, {"kind": "manual "}),
        ("kind=a,b", {"kind": "b"}, {"kind": "c"}),
        ("kind!=a", {"kind": "b"}, {"kind": "a"}),
        ("kind!=a", {}, {"kind": ["a", "b"]}),
        ("kind!=a,b", {"kind": "c"}, {"kind": "b"}),
        ("page number>=3", {"page number": 3}, {"page number": 2}),
        ("page_number>3", {"page_number": 3.5}, {"page_number": 3}),
        ("page_number<=3", {"page_number": 3}, {"page_number": 4}),
        ("page_number<-3", {"page_number": -4}, {"page_number": -3}),
        ("price<2.5", {"price": 2}, {"price": 2.5}),
        ("date_created>=2026-07-01", {"date_created": "2026-07-01"}, {"date_created": "2026-06-30"}),
        (
            "date_created<2026-07-01T12:00",
            {"date_created": "2026-07-01"},
            {"date_created": "2026-07-01T12:00"},
        ),
        # What reads as a number, a date or a truth value may also be meant as text.
        ("year=2026", {"year": 2026}, {"year": 2025}),
        ("year=2026", {"year": "2026"}, {"year": "2026.0"}),
        ("done=true", {"done": True}, {"done": False}),
        ("done=true", {"done": "true"}, {"done": 1}),
        ("day=2026-07-01", {"day": "2026-07-01T00:00:00Z"}, {"day": "2026-07-02"}),
        ("year!=2026", {"year": 2025}, {"year": "2026"}),
        ("a.b-c=x=y", {"a.b-c": "x=y"}, {"a.b-c": "x"}),
    ],
)
def test_expressions_of_the_command_line(
    expression: str, met_by: dict[str, MetadataValue], not_met_by: dict[str, MetadataValue]
) -> None:
    condition = parse_filter(expression)
    for metadata, expected in ((met_by, True), (not_met_by, False)):
        fields: dict[str, list[Scalar]] = {
            name: value if isinstance(value, list) else [value] for name, value in metadata.items()
        }
        assert matches(condition, fields) is expected


@pytest.mark.parametrize("expression", ["", "kind", "=x", "kind=", "kind>", "kind>soon", "page>=true", "kind~x"])
def test_other_expressions_are_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match=r"filter|needs a number"):
        parse_filter(expression)


def test_two_equal_signs_mean_what_one_does() -> None:
    assert parse_filter("section_heading==Setup") == parse_filter("section_heading=Setup")


@pytest.mark.parametrize(
    "expression",
    ["score=nan", "x=inf", "x>inf", "x!=-Infinity", "n=1e400", f"n={'9' * 400}", f"n<{'9' * 5000}", "a=1,nan"],
)
def test_numbers_that_cannot_be_compared_are_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="is no number that can be compared; use a finite one"):
        parse_filter(expression)


@pytest.mark.parametrize("condition", [Filter(field="n", gte=10**400), Filter(field="n", eq=-(10**400))])
def test_integers_beyond_floats_are_refused_in_python_and_for_engines(condition: Filter) -> None:
    for use in (lambda: matches(condition, {"n": [1]}), lambda: clause_of([condition])):
        with pytest.raises(ConfigError, match="too large to be compared; use one below 1e308"):
            use()


def test_a_value_that_reads_two_ways_keeps_a_fixed_order() -> None:
    assert parse_filter("field=5,x,2026-01-02").any == [5, "5", "x", date(2026, 1, 2), "2026-01-02"]
