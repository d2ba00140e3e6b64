"""The answers of the cache in Redis, which several servers share.

Redis ends entries by itself. What is too much goes by our own count, longest unused first, in a script that Redis runs
as one step (`cache_redis.lua`). Keys of an entry carry its scope, so that an id leads nowhere else, and what is read is
compared with what was asked for: Redis may throw out any key at any moment. Vectors are compared here, for plain Redis
finds none by meaning: each process holds those of a scope and fetches what came since.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ragkit.errors import MissingExtra
from ragkit.gateway.cache_entry import Entry, packed, placed, unpacked
from ragkit.gateway.cache_store import HITS_KEPT, LABELS_READ, OVERHEAD, Bounds, CacheFault, Hit, Stats
from ragkit.gateway.cache_vectors import VectorsByScope
from ragkit.service import quoted, shown_url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.config.caching import Cache

_TIMEOUT_S = 1.0
"""For a connection and for each call: an answer of the cache that takes longer is not worth waiting for."""
_REST_S = 2.0
"""After a failure nobody asks Redis for so long: each question would wait for it in vain."""
_AT_ONCE = 500
_FIELDS = ("question", "vector", "body", "nano_usd", "created", "key")
_HIT_FIELDS = ("tenant", "trace_id", "scope", "entry", "asked", "stored", "similarity", "kind", "right", "at")


class RedisStore:
    """Keys of one prefix on one server, which is connected to when it is first needed; no cluster."""

    def __init__(self, settings: Cache, bounds: Bounds, *, rest_s: float = _REST_S) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise MissingExtra("redis", "redis") from None
        self._url, self._prefix, self._bounds, self._rest_s = settings.url or "", settings.prefix, bounds, rest_s
        self._secret = settings.password.get_secret_value() if settings.password else ""
        self._faults: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._resting_until = 0.0
        self._lock = threading.Lock()
        self._vectors = VectorsByScope()
        with self._said():
            # One more try where a connection is lost: the server may have closed an idle one. None after a time-out.
            self._db: Any = redis.Redis.from_url(
                self._url,
                password=self._secret or None,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        script = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
        self._script: Any = self._db.register_script(script)

    def close(self) -> None:
        self._db.close()
        with self._lock:
            self._vectors.clear()

    def put(self, scope: str, key: str, entry: Entry, *, at: float | None = None) -> None:
        now = time.time() if at is None else at
        body, question = packed(entry), _bytes(entry.question)
        vector = b"" if entry.vector is None else entry.vector.astype("float32").tobytes()
        size = len(body) + len(question) + len(key) + len(vector) + OVERHEAD
        if size > self._bounds.bytes:
            return
        ttl = self._bounds.ttl_s
        with self._said():
            self._call(
                "put",
                *(scope, _digest(key), now, size, self._bounds.entries, self._bounds.bytes),
                *("" if ttl is None else max(1, round(ttl * 1000)), "" if ttl is None else now - ttl),
                *(question, vector, body, "" if entry.nano_usd is None else entry.nano_usd),
            )

    def find(self, scope: str, key: str, *, at: float | None = None) -> Entry | None:
        with self._said():
            identity = self._db.get(self._name("k", scope, _digest(key)))
            return None if identity is None else self._read(scope, int(identity), at, _digest(key))

    def get(self, scope: str, identity: int, *, at: float | None = None) -> Entry | None:
        with self._said():
            return self._read(scope, identity, at)

    def nearest(self, scope: str, vector: NDArray[np.float32], most: int, least: float) -> list[tuple[int, float]]:
        import numpy as np

        self._be_rested()
        with self._lock, self._said():
            vectors, ids = self._vectors.of(scope), self._name("s", scope)
            fresh = [int(identity) for identity in self._db.zrangebyscore(ids, f"({vectors.last}", "+inf")]
            for some in _blocks(fresh):
                found = self._pipelined("hget", ((self._name("e", scope, identity), "vector") for identity in some))
                there = [(identity, row) for identity, row in zip(some, found, strict=True) if row]
                vectors.add([one for one, _ in there], [np.frombuffer(row, dtype=np.float32) for _, row in there])
            if len(vectors) > 2 * self._db.zcard(ids) + 100:
                vectors.keep_only({int(identity) for identity in self._db.zrange(ids, 0, -1)})
            return vectors.nearest(vector, most, least)

    def count_hit(self, entry: Entry, tier: str, *, at: float | None = None) -> None:
        now = time.time() if at is None else at
        with self._said():
            steps = self._db.pipeline(transaction=True)
            steps.zadd(self._name("used"), {f"{entry.scope}:{entry.id}": now}, xx=True)
            steps.hincrby(self._name("counts"), tier, 1)
            if entry.nano_usd:
                steps.hincrby(self._name("counts"), "saved_nano_usd", entry.nano_usd)
            steps.execute()

    def note_hit(self, hit: Hit, *, at: float | None = None) -> None:
        now = time.time() if at is None else at
        with self._said():
            self._call(
                "note",
                *(_bytes(hit.tenant), hit.trace_id, hit.scope, hit.entry, _bytes(hit.asked), _bytes(hit.stored)),
                *(repr(hit.similarity), hit.kind, _told(hit.right), repr(now)),
                *(_digest(hit.tenant), _trace(hit.tenant, hit.trace_id), HITS_KEPT),
            )

    def judge(self, tenant: str, trace_id: str, right: bool | None) -> int:
        with self._said():
            return int(self._call("judge", _trace(tenant, trace_id), _told(right)))

    def labels(self, entry: Entry) -> list[tuple[float, bool]]:
        with self._said():
            found: dict[bytes, bytes] = self._db.hgetall(self._name("l", entry.scope, entry.id))
        newest = sorted(found.items(), key=lambda each: -int(each[0]))[:LABELS_READ]
        pairs = [row.decode().split() for _, row in newest]
        return [(float(similarity), right == "1") for similarity, right in pairs]

    def evidence(self, tenant: str) -> tuple[int, int]:
        with self._said():
            wrong, judged = self._db.hmget(self._name("v", _digest(tenant)), ("wrong", "judged"))
        return int(wrong or 0), int(judged or 0)

    def count(self, name: str) -> None:
        with self._said():
            self._db.hincrby(self._name("counts"), name, 1)

    def drop(self, entry: Entry, why: str) -> None:
        with self._said():
            self._call("drop", f"{entry.scope}:{entry.id}", why)

    def clear(self) -> int:
        with self._said():
            entries = int(self._db.zcard(self._name("used")))
            # Step by step, beside other calls; by name, for a key that nothing counts any more would stay.
            for names in _blocks(self._db.scan_iter(match=self._name("*"), count=1000)):
                self._db.unlink(*names)
        with self._lock:
            self._vectors.clear()
        return entries

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        with self._said():
            for some in _blocks(self._db.zrange(self._name("made"), 0, -1)):
                places = [
                    (scope, int(identity)) for scope, _, identity in (one.decode().rpartition(":") for one in some)
                ]
                rows = self._pipelined("hmget", ((self._name("e", *place), _FIELDS) for place in places))
                for place, row in zip(places, rows, strict=True):
                    entry = _entry(*place, row)
                    found += [entry] if entry else []
        return found

    def hits(self) -> list[Hit]:
        found: list[Hit] = []
        with self._said():
            newest = int(self._db.get(self._name("hit")) or 0)
            for some in _blocks(range(newest, max(0, newest - HITS_KEPT), -1)):
                rows = self._pipelined("hmget", ((self._name("h", number), _HIT_FIELDS) for number in some))
                found += [_hit(row) for row in rows if row[0] is not None]
        return found

    def stats(self) -> Stats:
        with self._said():
            members: list[bytes] = self._db.zrange(self._name("used"), 0, -1)
            size = int(self._db.get(self._name("bytes")) or 0)
            counts = {name.decode(): int(n) for name, n in self._db.hgetall(self._name("counts")).items()}
        scopes = {member.rpartition(b":")[0] for member in members}
        return Stats(len(members), size, len(scopes), dict(sorted(counts.items())))

    def _read(self, scope: str, identity: int, at: float | None, key: str | None = None) -> Entry | None:
        """The entry, if it is there, whole, in its time, and (where a key is given) the one of that key."""
        now = time.time() if at is None else at
        row = self._db.hmget(self._name("e", scope, identity), _FIELDS)
        if row[0] is None:
            self._call("drop", f"{scope}:{identity}", "")
            return None
        if key is not None and row[5] != key.encode():
            return None
        entry = _entry(scope, identity, row)
        if entry is None or (self._bounds.ttl_s is not None and now - entry.created > self._bounds.ttl_s):
            self._call("drop", f"{scope}:{identity}", "expired" if entry else "unreadable")
            return None
        return entry

    def _pipelined(self, command: str, arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        steps = self._db.pipeline(transaction=False)
        for each in arguments:
            getattr(steps, command)(*each)
        return steps.execute()

    def _call(self, step: str, *arguments: object) -> Any:
        return self._script(args=[step, self._prefix, *arguments])

    def _name(self, *parts: object) -> str:
        return ":".join((self._prefix, *map(str, parts)))

    def _be_rested(self) -> None:
        if time.monotonic() < self._resting_until:
            raise CacheFault(f"the cache at {shown_url(self._url)} did not answer a moment ago")

    @contextmanager
    def _said(self) -> Generator[None]:
        self._be_rested()
        try:
            yield
        except self._faults as error:
            self._resting_until = time.monotonic() + self._rest_s
            raise CacheFault(
                f"the cache at {shown_url(self._url)} cannot be used ({quoted(str(error), self._secret)})",
                mend="start Redis there, or mend cache.url and cache.password",
            ) from None


def _entry(scope: str, identity: int, row: Sequence[bytes | None]) -> Entry | None:
    """The entry of a row of `_FIELDS`, None if it is damaged or not there."""
    import numpy as np

    question, blob, body, nano_usd, created, _ = row
    try:
        vector = np.frombuffer(blob, dtype=np.float32) if blob else None
        text = cast("bytes", question).decode("utf-8", "surrogatepass")
        entry = unpacked(cast("bytes", body).decode("ascii"), text, vector, int(nano_usd) if nano_usd else None)
        return placed(entry, scope, identity, float(cast("bytes", created)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _hit(row: Sequence[bytes]) -> Hit:
    tenant, trace, scope, entry, asked, stored, similarity, kind, right, at = (
        each.decode("utf-8", "surrogatepass") for each in row
    )
    judged = None if right == "" else right == "1"
    named = cast("Any", kind)
    return Hit(tenant, trace, scope, int(entry), asked, stored, float(similarity), named, judged, float(at))


def _told(right: bool | None) -> str:
    return "" if right is None else str(int(right))


def _trace(tenant: str, trace_id: str) -> str:
    """The name of a trace of a tenant: trace ids alone may be those that another tenant sends."""
    return _digest(f"{_digest(tenant)} {trace_id}") if trace_id else ""


def _digest(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _blocks(items: Iterable[Any]) -> Iterator[list[Any]]:
    block: list[Any] = []
    for item in items:
        block.append(item)
        if len(block) == _AT_ONCE:
            yield block
            block = []
    if block:
        yield block
