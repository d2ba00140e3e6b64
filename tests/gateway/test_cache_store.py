"""The file of the cache: bounded, ordered by use, whole after a kill, and nobody else's to read."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.gateway.cache_entry import Entry, exact_key, fingerprint, packed, unpacked
from ragkit.gateway.cache_store import Bounds, CacheFault, CacheStore, Hit
from ragkit.types import Answer, Chunk, Citation, RemovedCitation, Span, Usage

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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CacheStore]:
    with closing(CacheStore(tmp_path / "c.sqlite", ROOMY)) as opened:
        yield opened


def test_an_entry_comes_back_as_it_went_in(store: CacheStore) -> None:
    kept = entry(vector=[0.6, 0.8])
    store.put("s", "k", kept, at=50.0)
    found = store.find("s", "k")
    assert found is not None
    assert found.vector is not None
    assert found.vector.tolist() == pytest.approx([0.6, 0.8])
    assert replace(found, vector=kept.vector, id=0, created=0.0) == kept
    assert found.created == 50.0


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


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    with closing(CacheStore(tmp_path / "c.sqlite", Bounds(2, 10_000_000, None))) as store:
        store.put("s", "a", entry("a"), at=1)
        store.put("s", "b", entry("b"), at=2)
        first = store.find("s", "a")
        assert first is not None
        store.count_hit(first, "exact", at=3)
        store.put("s", "c", entry("c"), at=4)
        assert [each.question for each in store.entries()] == ["a", "c"]
        assert store.stats().counts == {"evicted": 1, "exact": 1, "saved_nano_usd": 700}


def test_bytes_are_bounded_and_what_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    with closing(CacheStore(tmp_path / "c.sqlite", Bounds(1000, 20_000, None))) as store:
        for number in range(50):
            store.put("s", str(number), entry(str(number), "x" * 2000))
            assert store.stats().bytes <= 20_000
        store.put("s", "huge", entry("huge", "x" * 30_000))
        assert store.find("s", "huge") is None
        assert store.find("s", "49") is not None


def test_an_entry_ends_with_its_time(tmp_path: Path) -> None:
    with closing(CacheStore(tmp_path / "c.sqlite", Bounds(10, 10_000_000, 60.0))) as store:
        store.put("s", "k", entry(), at=100.0)
        assert store.find("s", "k", at=159.0) is not None
        assert store.find("s", "k", at=161.0) is None
        assert store.stats().counts == {"expired": 1}
        store.put("s", "k", entry(), at=200.0)
        store.put("s", "other", entry(), at=300.0)
        assert store.stats().entries == 1


def test_nearest_follows_what_other_connections_add_and_take_out(store: CacheStore, tmp_path: Path) -> None:
    east = np.array([1.0, 0.0], dtype=np.float32)
    store.put("s", "a", entry("a", vector=[1.0, 0.1]))
    assert len(store.nearest("s", east, 5, 0.5)) == 1
    with closing(CacheStore(tmp_path / "c.sqlite", ROOMY)) as other:
        other.put("s", "b", entry("b", vector=[1.0, 0.0]))
        other.put("s", "c", entry("c", vector=[0.0, 1.0]))
        found = store.nearest("s", east, 5, 0.5)
        assert [store.get(identity).question for identity, _ in found] == ["b", "a"]  # pyright: ignore[reportOptionalMemberAccess]
        other.drop(found[0][0], "gone")
    assert store.get(found[0][0]) is None


def test_many_entries_replaced_leave_no_growing_memory(store: CacheStore) -> None:
    east = np.array([1.0, 0.0], dtype=np.float32)
    for _ in range(400):
        store.put("s", "a", entry("a", vector=[1.0, 0.0]))
        store.nearest("s", east, 5, 0.5)
    found = store.nearest("s", east, 500, 0.5)
    assert len(found) <= 103
    assert store.get(found[0][0]) is not None or store.get(found[-1][0]) is not None


def taken(store: CacheStore, key: str = "k") -> Entry:
    store.put("s", key, entry(key))
    found = store.find("s", key)
    assert found is not None
    return found


def test_hits_are_remembered_with_what_turned_out_of_them(store: CacheStore) -> None:
    kept = taken(store)
    hit = Hit("acme", "t1", kept.id, "asked", "stored", 0.9)
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
    store.note_hit(Hit("acme", "t1", kept.id, "asked", "stored", 0.9))
    assert store.judge("umbrella", "t1", False) == 0
    assert store.judge("acme", "another", False) == 0
    assert (store.labels(kept), store.evidence("acme")) == ([], (0, 0))


def test_what_an_entry_was_not_trusted_with_is_a_label_of_it_and_no_hit(store: CacheStore) -> None:
    kept, other = taken(store), taken(store, "other")
    store.note_hit(Hit("acme", "", kept.id, "asked", "stored", 0.9, "doubted", False))
    store.note_hit(Hit("acme", "", kept.id, "asked", "stored", 0.95, "held", True))
    store.note_hit(Hit("acme", "", kept.id, "asked", "stored", 0.95, "held", None))
    assert store.labels(kept) == [(0.95, True), (0.9, False)]
    assert store.labels(other) == []
    assert store.evidence("acme") == (0, 1)
    assert store.evidence("umbrella") == (0, 0)
    # A trace id that is empty is nobody's to judge.
    assert store.judge("acme", "", False) == 0


def test_what_is_taken_out_stands_nowhere_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with closing(CacheStore(path, ROOMY)) as store:
        store.put("s", "k", entry("a secret question", "a secret answer"))
        assert store.clear() == 1
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_file_is_nobody_elses_to_read(store: CacheStore, tmp_path: Path) -> None:
    assert (tmp_path / "c.sqlite").stat().st_mode & 0o077 == 0


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_text("no database at all, but long enough to be read as one" * 20)
    with pytest.raises(CacheFault, match=r"c\.sqlite cannot be used .*; remove the file, or set cache\.path"):
        CacheStore(tmp_path / "c.sqlite", ROOMY)


def test_a_file_of_another_format_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with closing(CacheStore(path, ROOMY)) as store:
        store.put("s", "k", entry())
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with closing(CacheStore(path, ROOMY)) as store:
        assert store.stats().entries == 0


def test_a_damaged_entry_is_dropped(store: CacheStore, tmp_path: Path) -> None:
    store.put("s", "k", entry())
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as db:
        db.execute("UPDATE entries SET body = '{\"text\": 3'")
        db.commit()
    assert store.find("s", "k") is None
    assert store.stats().counts == {"unreadable": 1}


_WRITES = """
import sys
from pathlib import Path
from tests.gateway.test_cache_store import entry
from ragkit.gateway.cache_store import Bounds, CacheStore
store = CacheStore(Path(sys.argv[1]), Bounds(40, 10_000_000, None))
print("open", flush=True)
number = 0
while True:
    number += 1
    store.put("s", str(number), entry(str(number), str(number) * 500))
    print(number, flush=True)
"""


@pytest.mark.integration
def test_a_kill_at_any_moment_leaves_whole_entries(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    done = 0
    for pause in (0.05, 0.11, 0.17):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITES, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(pause)
        writer.kill()
        told, _ = writer.communicate()
        done = int(told.splitlines()[-1]) if told.strip() else 0
        with closing(CacheStore(path, Bounds(40, 10_000_000, None))) as store:
            kept = store.entries()
            assert len(kept) <= 40
            assert all(each.answer.text == each.question * 500 for each in kept)
            if done:
                assert store.find("s", str(done)) is not None
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
