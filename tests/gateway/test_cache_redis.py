"""The cache in Redis, on a real server: ended by it, thrown out by it, away and back, no password shown."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from ragkit.config.caching import Cache
from ragkit.gateway import cache_redis
from ragkit.gateway.cache_redis import RedisStore
from ragkit.gateway.cache_store import Bounds, CacheFault, Hit, open_store
from tests.gateway.redis_server import RedisServer, free_port
from tests.gateway.test_cache_store import ROOMY, entry

pytestmark = pytest.mark.integration
EAST = np.array([1.0, 0.0], dtype=np.float32)


def settings_for(server: RedisServer, prefix: str = "test", **more: Any) -> Cache:
    return Cache(store="redis", url=server.url, prefix=prefix, **more)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    with closing(RedisStore(settings_for(redis_server), ROOMY)) as opened:
        yield opened
        opened.clear()


@pytest.fixture
def names(redis_server: RedisServer, store: RedisStore) -> Iterator[Any]:
    """The keys that the store has."""
    with redis_server.client(decode_responses=True) as client:
        yield lambda: sorted(client.scan_iter(match="test:*"))


def test_the_store_of_a_config_with_an_address(redis_server: RedisServer) -> None:
    with closing(open_store(settings_for(redis_server))) as store:
        assert isinstance(store, RedisStore)
        assert store.stats().entries == 0


def test_redis_itself_ends_an_entry(redis_server: RedisServer) -> None:
    with closing(RedisStore(settings_for(redis_server, "ttl"), Bounds(10, 10_000_000, 0.2))) as store:
        store.put("s", "k", entry(vector=[1.0, 0.0]), at=time.time() + 1000)  # by the clock of the entry still young
        [(identity, _)] = store.nearest("s", EAST, 5, 0.5)
        with redis_server.client(decode_responses=True) as client:
            assert 0 < client.pttl(f"ttl:e:s:{identity}") <= 200
            while client.exists(f"ttl:e:s:{identity}"):
                time.sleep(0.02)
        assert store.get("s", identity) is None
        assert store.find("s", "k") is None
        assert store.stats().entries == 0
        store.clear()


def test_what_is_taken_out_leaves_no_key_of_its_own(store: RedisStore, names: Any) -> None:
    store.put("s", "k", entry(vector=[1.0, 0.0]))
    found = store.find("s", "k")
    assert found is not None
    store.note_hit(Hit("acme", "t", "s", found.id, "a secret", "another", 0.9, right=True))
    store.drop(found, "gone")
    assert not [name for name in names() if name.split(":")[1] in ("e", "k", "s", "l", "size", "used", "made")]
    store.clear()
    assert names() == []


def test_clear_takes_nothing_of_others(store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("test2:x", "1")
        client.set("testament", "2")
        store.put("s", "k", entry())
        assert store.clear() == 1
        assert client.exists("test2:x", "testament") == 2
        client.delete("test2:x", "testament")


def test_whichever_key_goes_nobody_gets_the_answer_of_another(store: RedisStore, redis_server: RedisServer) -> None:
    def fill() -> None:
        store.clear()
        for scope in ("acme", "umbrella"):
            for key in ("a", "b"):
                store.put(scope, key, entry(f"{scope} {key}", vector=[1.0, 0.1]))
                found = store.find(scope, key)
                assert found is not None
                store.note_hit(Hit(scope, "t", scope, found.id, "asked", "stored", 0.9), at=1.0)
        store.judge("acme", "t", True)

    with redis_server.client(decode_responses=True) as client:
        fill()
        kinds = sorted({name.split(":")[1] for name in client.scan_iter(match="test:*")})
        assert {"e", "k", "s", "used", "made", "size", "bytes", "last", "h", "t", "l", "v"} <= set(kinds)
        for kind in kinds:
            fill()
            client.delete(*client.scan_iter(match=f"test:{kind}*"))
            for scope in ("acme", "umbrella"):
                for key in ("a", "b", "c"):
                    if key == "c":
                        store.put(scope, key, entry(f"{scope} {key}", vector=[1.0, 0.2]))
                    found = store.find(scope, key)
                    assert found is None or found.question == f"{scope} {key}"
                    assert found is not None or key != "c"
                for identity, _ in store.nearest(scope, EAST, 5, 0.0):
                    near = store.get(scope, identity)
                    assert near is None or near.question.startswith(scope)
                store.judge(scope, "t", False)
                assert all(number >= 0 for number in store.evidence(scope)) or kind == "v"
            store.hits()
            store.entries()
            assert store.stats().entries >= 0


def test_with_too_little_memory_redis_throws_out_what_it_likes(redis_server: RedisServer) -> None:
    del redis_server  # skips without one
    with (
        RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random") as small,
        closing(RedisStore(settings_for(small), ROOMY)) as store,
    ):
        for number in range(600):
            store.put("s", str(number), entry(str(number), str(number) * 3000, vector=[1.0, number / 600]))
            found = store.find("s", str(number // 2))
            assert found is None or found.answer.text == str(number // 2) * 3000
        for identity, _ in store.nearest("s", EAST, 50, 0.0):
            near = store.get("s", identity)
            assert near is None or near.answer.text == near.question * 3000


def test_many_at_once_keep_to_the_bounds(redis_server: RedisServer) -> None:
    def work(number: int) -> None:
        for step in range(40):
            key = str((number * 7 + step) % 50)
            store.put(f"s{number % 2}", key, entry(key, key * 100, [1.0, step / 40]))
            found = store.find(f"s{number % 2}", key)
            assert found is None or found.answer.text == key * 100
            store.nearest(f"s{number % 2}", EAST, 5, 0.0)
            if found is not None:
                store.count_hit(found, "exact")
            assert store.stats().entries <= 20

    with closing(RedisStore(settings_for(redis_server, "many"), Bounds(20, 100_000, 60.0))) as store:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        kept = store.entries()
        assert len(kept) == store.stats().entries == 20
        assert store.stats().bytes <= 100_000
        store.clear()


def test_old_hits_are_forgotten_with_their_labels(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_redis, "HITS_KEPT", 3)
    store.put("s", "k", entry())
    found = store.find("s", "k")
    assert found is not None
    for number in range(5):
        store.note_hit(Hit("acme", f"t{number}", "s", found.id, "asked", "stored", (80 + number) / 100))
        store.judge("acme", f"t{number}", number > 2)
    assert [hit.trace_id for hit in store.hits()] == ["t4", "t3", "t2"]
    assert store.evidence("acme") == (1, 3)
    assert store.labels(found) == [(0.84, True), (0.83, True), (0.82, False)]
    assert store.judge("acme", "t0", True) == 0


def test_a_damaged_entry_is_dropped(store: RedisStore, redis_server: RedisServer) -> None:
    store.put("s", "k", entry())
    with redis_server.client() as client:
        [name] = client.scan_iter(match="test:e:*")
        client.hset(name, "body", '{"text": 3')
    assert store.find("s", "k") is None
    assert store.stats().counts == {"unreadable": 1}


def test_a_server_that_is_away_is_named_and_not_waited_for(redis_server: RedisServer) -> None:
    del redis_server
    with RedisServer(port=free_port()) as server:
        store = RedisStore(settings_for(server, password=SecretStr("")), ROOMY, rest_s=0.3)
        with closing(store):
            store.put("s", "k", entry())
            server.stop()
            with pytest.raises(CacheFault, match=r"the cache at redis://127\.0\.0\.1:\d+/0 cannot be used"):
                store.find("s", "k")
            with pytest.raises(CacheFault, match="did not answer a moment ago"):
                store.find("s", "k")
            server.start()
            time.sleep(0.3)
            assert store.find("s", "k") is None
            store.put("s", "k", entry())
            assert store.find("s", "k") is not None


def test_a_server_that_says_nothing_is_asked_once_and_then_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Cache(store="redis", url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with closing(RedisStore(settings, ROOMY, rest_s=60.0)) as store:
            with pytest.raises(CacheFault, match="Timeout"):
                store.find("s", "k")
            for _ in range(3):
                with pytest.raises(CacheFault, match="a moment ago"):
                    store.nearest("s", EAST, 5, 0.5)
        silent.settimeout(0.2)
        with closing(silent.accept()[0]), pytest.raises(TimeoutError):
            silent.accept()


def test_a_password_opens_the_server_and_stands_in_no_error(redis_server: RedisServer) -> None:
    del redis_server
    with RedisServer("--requirepass", "open-sesame", port=free_port()) as server:
        right = settings_for(server, password=SecretStr("open-sesame"))
        with closing(RedisStore(right, ROOMY)) as store:
            store.put("s", "k", entry())
            assert store.stats().entries == 1
        for wrong in (None, SecretStr("hunter-22")):
            with (
                closing(RedisStore(settings_for(server, password=wrong), ROOMY)) as store,
                pytest.raises(CacheFault, match=r"cache\.password") as fault,
            ):
                store.stats()
            assert "hunter" not in str(fault.value)
            assert "sesame" not in str(fault.value)
        assert "sesame" not in repr(right)


_WRITES = """
import sys
from tests.gateway.test_cache_store import entry
from ragkit.config.caching import Cache
from ragkit.gateway.cache_redis import RedisStore
from ragkit.gateway.cache_store import Bounds
store = RedisStore(Cache(store="redis", url=sys.argv[1], prefix="kill"), Bounds(40, 10_000_000, None))
print("open", flush=True)
number = 0
while True:
    number += 1
    store.put("s", str(number), entry(str(number), str(number) * 500))
    print(number, flush=True)
"""


def test_a_kill_of_a_writer_leaves_whole_entries(redis_server: RedisServer) -> None:
    with closing(RedisStore(settings_for(redis_server, "kill"), Bounds(40, 10_000_000, None))) as store:
        for pause in (0.05, 0.11, 0.17):
            writer = subprocess.Popen(
                [sys.executable, "-c", _WRITES, redis_server.url],
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
            kept = store.entries()
            assert len(kept) == store.stats().entries <= 40
            assert all(each.answer.text == each.question * 500 for each in kept)
            assert store.find("s", str(done)) is not None or not done
        store.clear()
