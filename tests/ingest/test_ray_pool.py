"""Who embeds what over Ray, and when deaths end a run: the pool itself, over a Ray in which time is a number.

That processes die as they do here, `test_ray.py` shows with processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from ragkit.config.schema import Config
from ragkit.errors import ServiceError
from ragkit.ingest.over_ray import embedding
from ragkit.ingest.over_ray.embedding import EmbedPool
from ragkit.ingest.over_ray.work import Work

exceptions = pytest.importorskip("ray.exceptions")
DEATHS = {
    "actor": lambda: exceptions.ActorDiedError(),
    "memory": lambda: exceptions.OutOfMemoryError("killed by the memory monitor"),
    "node": lambda: exceptions.NodeDiedError("gone"),
    "worker": lambda: exceptions.WorkerCrashedError(),
}


@dataclass(eq=False)
class Ref:
    """What will be `value` at a time, in seconds."""

    at: float
    value: object


@dataclass(eq=False)
class Actor:
    """Takes 10 s a slice, 1000 s for one of "slow", and dies of one of "kills"."""

    ray: FakeRay
    number: int
    death: Callable[[], Exception] = DEATHS["actor"]
    free: float = 0.0
    dead_at: float = float("inf")

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=partial(self._call, name))

    def _call(self, name: str, *args: Sequence[str]) -> Ref:
        begins = max(self.free, self.ray.now)
        if name == "turn":
            return Ref(begins, None) if begins < self.dead_at else Ref(self._told(), self.death())
        deadly = self.number <= self.ray.stillborn if name == "ready" else args[0][0] == "kills"
        if deadly:
            self.dead_at = min(self.dead_at, begins + 1)
        takes = self.ray.starts_in if name == "ready" else 1000 if args[0][0] == "slow" else 10
        self.free = begins + takes
        if self.dead_at < self.free:
            return Ref(self._told(), self.death())
        return Ref(self.free, [f"{text} by {self.number}" for text in args[0]] if args else None)

    def _told(self) -> float:
        return max(self.dead_at, self.ray.now)


@dataclass(eq=False)
class FakeRay:
    """The first `stillborn` actors die while they start, the others take `starts_in` seconds."""

    death: Callable[[], Exception] = DEATHS["actor"]
    stillborn: int = 0
    starts_in: float = 10.0
    now: float = 0.0
    actors: list[Actor] = field(default_factory=list["Actor"])
    killed: list[int] = field(default_factory=list[int])
    exceptions: Any = exceptions

    def remote(self, _: type) -> Any:
        return SimpleNamespace(options=self._options)

    def _options(self, **_: Any) -> Any:
        return SimpleNamespace(remote=self._start)

    def _start(self, _: Work) -> Actor:
        self.actors.append(Actor(self, len(self.actors) + 1, self.death))
        return self.actors[-1]

    def wait(self, refs: list[Ref], *, num_returns: int, timeout: float) -> tuple[list[Ref], list[Ref]]:
        assert num_returns == 1
        first = min(refs, key=lambda ref: ref.at)
        self.now = max(self.now, min(first.at, self.now + timeout))
        return ([first], refs) if first.at <= self.now else ([], refs)

    def get(self, ref: Ref, timeout: float | None = None) -> object:
        if timeout is not None and ref.at > self.now + timeout:
            raise exceptions.GetTimeoutError
        if isinstance(ref.value, Exception):
            raise ref.value
        return ref.value

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor.number)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[FakeRay, EmbedPool]]:
    def made(actors: int, **settings: Any) -> tuple[FakeRay, EmbedPool]:
        ray = FakeRay(**settings)
        monkeypatch.setattr(embedding, "time", SimpleNamespace(monotonic=lambda: ray.now))
        cluster: Any = SimpleNamespace(ray=ray)
        return ray, EmbedPool(cluster, Work(Config(), {}), actors, 0.0)

    return made


def in_order(found: Any) -> list[str]:
    return [text for _, texts in sorted(found) for text in texts]


class TestSlices:
    def test_come_as_they_are_done_so_that_a_late_one_holds_up_no_other(self, pool: Any) -> None:
        ray, here = pool(2)
        came = [(number, ray.now < 100) for number, _ in here.vectors([["slow"], *[["a"]] * 5])]
        # One waits behind it, for the same worker.
        assert [soon for _, soon in came] == [True, True, True, True, False, False]
        assert came[4][0] == 0

    @pytest.mark.parametrize("kind", sorted(DEATHS))
    def test_of_a_worker_that_died_are_done_by_another_however_ray_tells_of_it(self, pool: Any, kind: str) -> None:
        ray, here = pool(2, death=DEATHS[kind])
        first = here.vectors([["a"]] * 8)
        next(first)
        ray.actors[0].dead_at = ray.now + 1
        assert len(list(first)) == 7
        assert (len(ray.actors), ray.killed) == (3, [1])
        assert in_order(here.vectors([["b"]])) == ["b by 2"]

    def test_that_three_workers_died_of_end_the_run_with_their_first_words(self, pool: Any) -> None:
        ray, here = pool(1)
        with pytest.raises(ServiceError, match=r"3 workers of the Ray cluster died .* of the same 2 texts, .*'kills'"):
            list(here.vectors([["a"], ["kills", "b"], ["c"]]))
        assert len(ray.actors) == 4

    def test_that_waited_behind_a_deadly_one_are_not_held_for_it(self, pool: Any) -> None:
        _, here = pool(1)
        with pytest.raises(ServiceError, match="first of them 'kills'"):
            list(here.vectors([["kills"], ["innocent"]]))

    def test_do_not_end_a_run_because_idle_workers_had_died(self, pool: Any) -> None:
        ray, here = pool(4)
        assert len(list(here.vectors([["a"]] * 8))) == 8
        for actor in ray.actors:
            actor.dead_at = ray.now
        ray.now += 60
        assert in_order(here.vectors([["b"]])) == ["b by 5"]
        assert len(ray.actors) == 8


class TestAWorker:
    def test_may_take_its_time_to_replace_one_that_died_late(self, pool: Any) -> None:
        ray, here = pool(1)
        slices = here.vectors([["a"]] * 50)
        while ray.now < 400:
            next(slices)
        ray.actors[0].dead_at = ray.now + 1
        assert len(list(slices)) > 5
        assert len(ray.actors) == 2

    def test_that_never_starts_ends_the_run_after_five_minutes(self, pool: Any) -> None:
        ray, here = pool(1, starts_in=float("inf"))
        with pytest.raises(ServiceError, match="no worker that embeds has started within 300 s"):
            list(here.vectors([["a"]]))
        assert 300 < ray.now < 310

    @pytest.mark.parametrize("kind", sorted(DEATHS))
    def test_that_dies_at_its_start_is_replaced_nine_times(self, pool: Any, kind: str) -> None:
        ray, here = pool(1, death=DEATHS[kind], stillborn=9)
        assert in_order(here.vectors([["a"]])) == ["a by 10"]
        ray, here = pool(1, death=DEATHS[kind], stillborn=10)
        with pytest.raises(ServiceError, match="10 workers of the Ray cluster died in a row while they loaded"):
            list(here.vectors([["a"]]))
        assert len(ray.actors) == 10
