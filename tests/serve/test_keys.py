"""API keys: only hashes are kept, a revoked one is none, and who had keys once never stands open again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.serve.database import Database
from ragkit.serve.keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    with closing(Database(tmp_path)) as database:
        yield Keys(database)


def test_a_key_is_found_by_its_text(keys: Keys) -> None:
    made, text = keys.create("app", tenant="acme", role="write", requests_per_minute=5, concurrency=2)
    assert keys.find(text) == made
    assert (made.tenant, made.role, made.requests_per_minute, made.concurrency) == ("acme", "write", 5, 2)


def test_no_other_text_is_a_key(keys: Keys) -> None:
    _, text = keys.create("app")
    prefix, identity, secret = text.split("_", 2)
    for wrong in ("", "rk", "rk__", text[:-1], text + "x", f"{prefix}_{identity}_", f"sk_{identity}_{secret}"):
        assert keys.find(wrong) is None


def test_the_text_of_a_key_is_nowhere_on_the_disk(keys: Keys, tmp_path: Path) -> None:
    _, text = keys.create("app")
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert all(text.split("_", 2)[2].encode() not in path.read_bytes() for path in files)


def test_a_revoked_key_is_none_but_is_remembered(keys: Keys) -> None:
    assert not keys.any_made()
    _, text = keys.create("app")
    assert keys.revoke("app").revoked is not None
    assert keys.find(text) is None
    assert keys.any_made()
    assert [key.name for key in keys.all()] == ["app"]
    with pytest.raises(ConfigError, match="was made before"):
        keys.create("app")


def test_a_key_made_by_another_process_counts_at_once(keys: Keys, tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as other:
        _, text = Keys(other).create("app")
    assert keys.find(text) is not None


@pytest.mark.parametrize("name", ["", "_", "A", "a/b", "..", "a..b", "é", "a" * 65, "-a", "a\n"])
def test_names_fit_a_folder(keys: Keys, name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a key"):
        keys.create(name)
    if name:
        with pytest.raises(ConfigError, match="no name of a tenant"):
            keys.create("fine", tenant=name)


def test_revoking_what_is_not_there_says_so(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="no key named 'app'"):
        keys.revoke("app")
