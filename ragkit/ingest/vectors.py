"""Embeddings made by a run that is not finished: kept on disk so that a killed run does not make them again."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With the model, for the index begins with it: without, each look-up would read all vectors.
_BY_KEY = "SELECT vector FROM vectors WHERE model = ? AND key = ?"


class VectorJournal:
    """Vectors by the hash of their text, for one embedding model; another model's journal is thrown away."""

    def __init__(self, path: Path, model: str) -> None:
        self.model = model
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open(path, model)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._db = self._open(path, model)

    @staticmethod
    def _open(path: Path, model: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS vectors (model TEXT, key BLOB, vector BLOB, PRIMARY KEY (model, key))")
        db.execute("DELETE FROM vectors WHERE model != ?", (model,))
        return db

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def get(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors that are there, by text."""
        found: dict[str, NDArray[np.float32]] = {}
        for text in texts:
            row = self._db.execute(_BY_KEY, (self.model, _key(text))).fetchone()
            if row:
                found[text] = np.frombuffer(row[0], dtype=np.float32)
        return found

    def put(self, texts: Sequence[str], vectors: Iterable[NDArray[np.float32]]) -> None:
        """Keep vectors, of any shape, which `get` gives back flat; they are on disk when the call returns, as far as a
        killed process is concerned."""
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
            [
                (self.model, _key(text), np.ascontiguousarray(vector, dtype=np.float32).tobytes())
                for text, vector in zip(texts, vectors, strict=True)
            ],
        )
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
