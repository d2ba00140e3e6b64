"""API keys: who calls, for which tenant, and what they may do. Only hashes of them are kept.

A key is `rk_ID_SECRET` with 256 random bits in its secret, so that one round of SHA-256 hides it as well as many would.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from ragkit.errors import ConfigError
from ragkit.serve.database import Database, plain

Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = ("read", "write", "admin")
"""Each may do what those before it may: ask and search; upload and delete; see metrics and feedback."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_COLUMNS = "id, name, tenant, role, requests_per_minute, concurrency, created, revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. `tenant` "" sees every document; limits of None are those of the config. Times are
    seconds since 1970."""

    id: str
    name: str
    tenant: str
    role: Role
    requests_per_minute: int | None
    concurrency: int | None
    created: float
    revoked: float | None


class Keys:
    """The keys of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        tenant: str = "",
        role: Role = "read",
        requests_per_minute: int | None = None,
        concurrency: int | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which can never be had again. Raises ConfigError for a name that is taken or none."""
        checked_name(name, "key")
        if tenant:
            checked_name(tenant, "tenant")
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        text = f"rk_{identity}_{secret}"
        key = Key(identity, name, tenant, role, requests_per_minute, concurrency, time.time(), None)
        try:
            self._database.write(
                f"INSERT INTO keys ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (identity, name, tenant, role, requests_per_minute, concurrency, key.created, None, _hash(text)),
            )
        except sqlite3.IntegrityError:
            raise ConfigError(f"a key named {name!r} was made before", mend="choose another name") from None
        return key, text

    def find(self, text: str) -> Key | None:
        """The key of this text, if it is one and was not revoked."""
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != "rk":
            return None
        row = self._database.row(f"SELECT {_COLUMNS}, hash FROM keys WHERE id = ?", (parts[1],))
        if row is None or not hmac.compare_digest(row["hash"], _hash(text)) or row["revoked"] is not None:
            return None
        return _key(row)

    def all(self) -> list[Key]:
        """Every key that was made, revoked ones too, oldest first."""
        return [_key(row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM keys ORDER BY created, rowid")]

    def any_made(self) -> bool:
        """Whether a key was ever made: from then on nobody comes in without one, though all be revoked."""
        return self._database.row("SELECT 1 FROM keys LIMIT 1") is not None

    def revoke(self, name: str) -> Key:
        """Take a key back, from the next request on. Raises ConfigError if there is none of this name."""
        self._database.write("UPDATE keys SET revoked = ? WHERE name = ? AND revoked IS NULL", (time.time(), name))
        row = self._database.row(f"SELECT {_COLUMNS} FROM keys WHERE name = ?", (name,))
        if row is None:
            raise ConfigError(f"there is no key named {name!r}", mend="see: ragkit keys list")
        return _key(row)


def checked_name(name: str, what: str) -> str:
    """A name that fits a folder and a log line. Raises ConfigError for another.

    >>> checked_name("acme-2", "tenant")
    'acme-2'
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{name!r} is no name of a {what}", mend="use up to 64 small letters, digits, hyphens, dots, underscores"
        )
    return name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: sqlite3.Row) -> Key:
    fields = plain(row)
    fields.pop("hash", None)
    return Key(**fields)
