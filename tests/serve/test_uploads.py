"""Uploads on disk: whatever moment a server is killed in, none is lost, and a document is the old or the new one."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ragkit.serve.access import ANYBODY, Caller
from ragkit.serve.database import Database
from ragkit.serve.problems import Problem
from ragkit.serve.uploads import Upload, Uploads, checked_file_name

ACME = Caller("k", "acme", "write")
TYPES = [".md", ".pdf"]


class Killed(BaseException):
    """The process ends here."""


def killing_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the call of this number that changes the disk be the last one; returns how many there were."""
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > number:
                raise Killed
            return real(*arguments, **named)

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Database, "write")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: calls


def finish(uploads: Uploads, state: str) -> None:
    """One run of an indexer that ends all that waits in this state."""
    for upload in uploads.next_batch(10):
        if state == "put back":
            uploads.put_back(upload)
        else:
            uploads.end(upload, state)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "edited"])
@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "put back"])
def test_a_kill_at_any_step_loses_nothing(tmp_path: Path, state: str, before: bytes | None) -> None:
    number = 0
    while True:
        folder = tmp_path / str(number)
        with closing(Database(folder)) as database:
            uploads = Uploads(database, folder)
            place = uploads.folder / "acme" / "a.md"
            if before is not None:
                place.parent.mkdir()
                place.write_bytes(before)
            upload = uploads.add(ACME, "a.md", io.BytesIO(b"new"), 10)
            with pytest.MonkeyPatch.context() as patch:
                calls = killing_at(number, patch)
                with suppress(Killed):
                    finish(uploads, state)
            whole = calls() <= number
        with closing(Database(folder)) as database:
            uploads = Uploads(database, folder)
            uploads.recover()
            found = uploads.find(ACME, upload.id)
            assert found is not None
            if found.state == "queued":
                assert (place.read_bytes() if place.exists() else None) == before, "as it was until its turn comes"
                finish(uploads, "done")
                found = uploads.find(ACME, upload.id)
            assert found is not None
            expected = b"new" if found.state == "done" else before
            assert (place.read_bytes() if place.exists() else None) == expected
            assert list((folder / "incoming").iterdir()) == []
        if whole:
            assert number > 3
            return
        number += 1


def test_an_upload_that_was_killed_while_it_came_leaves_nothing(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        uploads = Uploads(database, tmp_path)
        (tmp_path / "incoming" / "half").write_bytes(b"half of a file")
        uploads.recover()
        assert list((tmp_path / "incoming").iterdir()) == []
        assert uploads.listed(ANYBODY, 10) == []


def test_of_two_uploads_of_one_name_the_later_comes_later(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        uploads = Uploads(database, tmp_path)
        first, second = (uploads.add(ACME, "a.md", io.BytesIO(text), 10) for text in (b"1", b"2"))
        for upload, text in ((first, b"1"), (second, b"2")):
            batch = uploads.next_batch(10)
            assert [one.id for one in batch] == [upload.id]
            assert uploads.place(upload).read_bytes() == text
            uploads.end(batch[0], "done")
        assert uploads.next_batch(10) == []


def test_what_waits_is_cancelled_at_once_and_what_is_indexed_when_it_notices(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        uploads = Uploads(database, tmp_path)
        first = uploads.add(ACME, "a.md", io.BytesIO(b"1"), 10)
        assert uploads.cancel(first).state == "cancelled"
        assert uploads.next_batch(10) == []
        second = uploads.add(ACME, "a.md", io.BytesIO(b"2"), 10)
        batch: list[Upload] = uploads.next_batch(10)
        assert not uploads.progress(batch, 0.5)
        assert uploads.cancel(second).state == "indexing"
        assert uploads.progress(batch, 0.6)
        uploads.end(batch[0], "done")
        assert uploads.cancel(second).state == "done"


def test_tenants_see_their_own_uploads_only(tmp_path: Path) -> None:
    umbrella = Caller("u", "umbrella", "admin")
    with closing(Database(tmp_path)) as database:
        uploads = Uploads(database, tmp_path)
        mine = uploads.add(ACME, "a.md", io.BytesIO(b"1"), 10)
        assert uploads.find(umbrella, mine.id) is None
        assert uploads.listed(umbrella, 10) == []
        assert uploads.find(ANYBODY, mine.id) == mine == uploads.listed(ACME, 10)[0]


def test_uploads_that_wait_are_bounded(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        uploads = Uploads(database, tmp_path)
        for _ in range(2):
            uploads.add(ACME, "a.md", io.BytesIO(b"1"), 2)
        with pytest.raises(Problem, match="2 uploads are waiting") as raised:
            uploads.add(ACME, "b.md", io.BytesIO(b"1"), 2)
        assert (raised.value.status, raised.value.retry_after) == (429, 10)
        uploads.add(Caller("u", "umbrella", "write"), "b.md", io.BytesIO(b"1"), 2)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a.md", "a.md"), ("C:\\docs\\a.md", "a.md"), ("../../a.md", "a.md"), ("/etc/Größe 1.PDF", "Größe 1.PDF")],
)
def test_a_file_is_kept_under_the_last_part_of_its_name(given: str, kept: str) -> None:
    assert checked_file_name(given, TYPES) == kept


@pytest.mark.parametrize(
    "given", ["", "..", ".md", "a/.hidden.md", "a#1.md", "a*.md", "a\n.md", "é" * 100 + ".md", "a:b.md"]
)
def test_names_that_mean_something_to_a_disk_are_refused(given: str) -> None:
    with pytest.raises(Problem, match="the name of the file"):
        checked_file_name(given, TYPES)


@pytest.mark.parametrize("given", ["a", "a.exe", "a.md.exe", "a.jsonl"])
def test_types_that_are_not_listed_are_refused(given: str) -> None:
    with pytest.raises(Problem, match="are not taken") as raised:
        checked_file_name(given, TYPES)
    assert raised.value.status == 415
