"""What every store of the cache does: bounded, ordered by use, tenants apart; a file and Redis alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.caching import Cache
from ragkit.gateway.cache_entry import Entry, exact_key, fingerprint, packed, unpacked
from ragkit.gateway.cache_redis import RedisStore
from ragkit.gateway.cache_sqlite import SqliteStore
from ragkit.gateway.cache_store import Bounds, CacheStore, Hit
from ragkit.types import Answer, Chunk, Citation, RemovedCitation, Span, Usage
from tests.gateway.redis_server import RedisServer

ROOMY = Bounds(1000, 10_000_000, None)


def entry(question: str = "how hot?", text: str = "Ninety degrees.", vector: list[float] | None = None) -> Entry:
    answer = Answer(
        text=text,
        refused=False,
        citations=(Citation("c1", "d1", "a.md", 3, None, 4, 9, "quote", 0.5, 0, 7),),
        removed_citations=(RemovedCitation("[9]", "no such document"),),
        unsupported=(Span(1, 2),),
        notes=("a note",),
        results=(),
        context=("c1",),
        model="m",
        usage=Usage(10, 2, 1),
        confidence=0.75,
        config_hash="h",
        trace_id="",
        timings_ms={},
    )
    known = frozenset({"f1", "f2"})
    numbers = None if vector is None else np.array(vector, dtype=np.float32)
    return Entry(question, numbers, answer, {"c1": "f1"}, known, "gen-1", 700, {"d1": "x"})


Open = Callable[[Bounds], CacheStore]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.integration)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a store on the place of this test, each time as another process would."""
    opened: list[CacheStore] = []
    server: RedisServer | None = request.getfixturevalue("redis_server") if request.param == "redis" else None

    def open_it(bounds: Bounds = ROOMY) -> CacheStore:
        if server is None:
            opened.append(SqliteStore(tmp_path / "c.sqlite", bounds))
        else:
            settings = Cache.model_validate({"store": "redis", "url": server.url, "prefix": tmp_path.name[-60:]})
            opened.append(RedisStore(settings, bounds))
        return opened[-1]

    yield open_it
    opened[-1].clear()
    for each in opened:
        each.close()


@pytest.fixture
def store(open_store: Open) -> CacheStore:
    return open_store(ROOMY)


def test_an_entry_comes_back_as_it_went_in(store: CacheStore) -> None:
    kept = entry(vector=[0.6, 0.8])
    store.put("s", "k", kept, at=50.0)
    found = store.find("s", "k")
    assert found is not None
    assert found.vector is not None
    assert found.vector.tolist() == pytest.approx([0.6, 0.8])
    assert replace(found, vector=kept.vector, scope="", id=0, created=0.0) == kept
    assert (found.created, found.scope) == (50.0, "s")


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_any_text_survives(text: str, question: str, notes: list[str]) -> None:
    kept = entry(question, text)
    kept = replace(kept, answer=replace(kept.answer, notes=tuple(notes)))
    assert unpacked(packed(kept), question, None, kept.nano_usd) == kept


def test_half_of_a_surrogate_pair_is_kept_in_an_answer(store: CacheStore) -> None:
    store.put("s", "k", entry(text="a\ud800b"))
    found = store.find("s", "k")
    assert found is not None
    assert found.answer.text == "a\ud800b"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How hot is it?", "how  hot is it", True),
        ("How hot is it?\n", "How hot is it ?", True),
        ("What is IT?", "What is it?", False),
        ("is 10² right?", "is 102 right?", False),
        ("How hot is it?", "How hot is it not?", False),
        ("e\u0301tat", "\u00e9tat", True),
    ],
)
def test_the_same_words_have_one_key_and_others_another(one: str, other: str, same: bool) -> None:
    assert (exact_key(one) == exact_key(other)) is same


def test_all_that_is_read_of_a_chunk_changes_its_fingerprint() -> None:
    chunk = Chunk("c", "d", "text", 0, 4, 1, {"source_document": "a.md", "page_number": 1}, "header")
    others = [
        replace(chunk, text="Text"),
        replace(chunk, header="other"),
        replace(chunk, start=1, end=5),
        replace(chunk, metadata={"source_document": "a.md", "page_number": 2}),
        replace(chunk, page_starts=(2,)),
    ]
    assert len({fingerprint(each) for each in [chunk, *others]}) == 6
    assert fingerprint(
        replace(chunk, metadata={name: chunk.metadata[name] for name in reversed(list(chunk.metadata))})
    ) == fingerprint(chunk)


def test_scopes_share_nothing(store: CacheStore) -> None:
    store.put("acme", "k", entry(vector=[1.0, 0.0]))
    assert store.find("umbrella", "k") is None
    assert store.nearest("umbrella", np.array([1.0, 0.0], dtype=np.float32), 5, 0.0) == []


def test_the_longest_unused_goes_first(open_store: Open) -> None:
    store = open_store(Bounds(2, 10_000_000, None))
    store.put("s", "a", entry("a"), at=1)
    store.put("s", "b", entry("b"), at=2)
    first = store.find("s", "a")
    assert first is not None
    store.count_hit(first, "exact", at=3)
    store.put("s", "c", entry("c"), at=4)
    assert [each.question for each in store.entries()] == ["a", "c"]
    assert store.stats().counts == {"evicted": 1, "exact": 1, "saved_nano_usd": 700}


def test_bytes_are_bounded_and_what_is_larger_than_all_is_not_kept(open_store: Open) -> None:
    store = open_store(Bounds(1000, 20_000, None))
    for number in range(50):
        store.put("s", str(number), entry(str(number), "x" * 2000))
        assert store.stats().bytes <= 20_000
    store.put("s", "huge", entry("huge", "x" * 30_000))
    assert store.find("s", "huge") is None
    assert store.find("s", "49") is not None


def test_an_entry_ends_with_its_time(open_store: Open) -> None:
    store = open_store(Bounds(10, 10_000_000, 60.0))
    store.put("s", "k", entry(), at=100.0)
    assert store.find("s", "k", at=159.0) is not None
    assert store.find("s", "k", at=161.0) is None
    assert store.stats().counts == {"expired": 1}
    store.put("s", "k", entry(), at=200.0)
    store.put("s", "other", entry(), at=300.0)
    assert store.stats().entries == 1


def test_nearest_follows_what_other_connections_add_and_take_out(open_store: Open) -> None:
    east = np.array([1.0, 0.0], dtype=np.float32)
    store, other = open_store(ROOMY), open_store(ROOMY)
    store.put("s", "a", entry("a", vector=[1.0, 0.1]))
    assert len(store.nearest("s", east, 5, 0.5)) == 1
    other.put("s", "b", entry("b", vector=[1.0, 0.0]))
    other.put("s", "c", entry("c", vector=[0.0, 1.0]))
    found = store.nearest("s", east, 5, 0.5)
    entries = [one for identity, _ in found if (one := store.get("s", identity))]
    assert [one.question for one in entries] == ["b", "a"]
    assert store.get("another", found[0][0]) is None
    other.drop(entries[0], "gone")
    assert store.get("s", found[0][0]) is None
    assert store.stats().counts == {"gone": 1}


def test_many_entries_replaced_leave_no_growing_memory(store: CacheStore) -> None:
    east = np.array([1.0, 0.0], dtype=np.float32)
    for _ in range(400):
        store.put("s", "a", entry("a", vector=[1.0, 0.0]))
        store.nearest("s", east, 5, 0.5)
    found = store.nearest("s", east, 500, 0.5)
    assert len(found) <= 103
    assert store.get("s", found[0][0]) is not None or store.get("s", found[-1][0]) is not None


def taken(store: CacheStore, key: str = "k") -> Entry:
    store.put("s", key, entry(key))
    found = store.find("s", key)
    assert found is not None
    return found


def test_hits_are_remembered_with_what_turned_out_of_them(store: CacheStore) -> None:
    kept = taken(store)
    hit = Hit("acme", "t1", "s", kept.id, "asked", "stored", 0.9)
    store.note_hit(hit, at=5.0)
    store.note_hit(replace(hit, trace_id="t2", similarity=0.8), at=6.0)
    assert (store.labels(kept), store.evidence("acme")) == ([], (0, 0))
    assert store.judge("acme", "t1", False) == 1
    assert store.judge("acme", "t2", True) == 1
    assert [(one.trace_id, one.right, one.at) for one in store.hits()] == [("t2", True, 6.0), ("t1", False, 5.0)]
    assert (store.labels(kept), store.evidence("acme")) == ([(0.8, True), (0.9, False)], (1, 2))
    # What is said later counts instead of what was said before, and can be taken back.
    store.judge("acme", "t1", True)
    assert store.evidence("acme") == (0, 2)
    store.judge("acme", "t1", None)
    assert (store.labels(kept), store.evidence("acme")) == ([(0.8, True)], (0, 1))


def test_nobody_judges_the_hits_of_another_tenant(store: CacheStore) -> None:
    kept = taken(store)
    store.note_hit(Hit("acme", "t1", "s", kept.id, "asked", "stored", 0.9))
    assert store.judge("umbrella", "t1", False) == 0
    assert store.judge("acme", "another", False) == 0
    assert (store.labels(kept), store.evidence("acme")) == ([], (0, 0))


def test_what_an_entry_was_not_trusted_with_is_a_label_of_it_and_no_hit(store: CacheStore) -> None:
    kept, other = taken(store), taken(store, "other")
    store.note_hit(Hit("acme", "", "s", kept.id, "asked", "stored", 0.9, "doubted", False))
    store.note_hit(Hit("acme", "", "s", kept.id, "asked", "stored", 0.95, "held", True))
    store.note_hit(Hit("acme", "", "s", kept.id, "asked", "stored", 0.95, "held", None))
    assert store.labels(kept) == [(0.95, True), (0.9, False)]
    assert store.labels(other) == []
    assert store.evidence("acme") == (0, 1)
    assert store.evidence("umbrella") == (0, 0)
    # A trace id that is empty is nobody's to judge.
    assert store.judge("acme", "", False) == 0
