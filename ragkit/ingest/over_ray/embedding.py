"""Texts to vectors by actors that hold the model, slices in the order in which they are done.

Not by Ray Data: which texts are new to the index, to a run that was cut off and to this one, only the run knows, batch
by batch, and a data set of Ray is planned whole before it begins. So the run hands out what is left to embed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ragkit.embed import make_embedder
from ragkit.embed.splade import make_splade
from ragkit.errors import RagkitError, ServiceError
from ragkit.ingest.over_ray.cluster import Cluster
from ragkit.ingest.over_ray.work import STARTS_WITHIN_S, Fault, Work, begin, fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CPUS = 0.4
_AT_ONCE = 2
"""Slices that an actor has: one in work and one that waits, so that it need not wait for this machine."""
_MOST_DEATHS = 3
_MOST_STILLBORN = 10

Vectors = Iterable["NDArray[np.float32]"]
Kind = Literal["vectors", "weights"]


class EmbedActor:
    """The models of a config in a process of the cluster."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def ready(self) -> Fault | None:
        """Load what is needed first; what is wrong with this machine, if anything is."""
        try:
            begin(self._work)
            self._embedder = make_embedder(self._work.config.ingestion.embedding)
            self._splade = make_splade(self._work.config)
            if self._work.config.ingestion.embedding.backend == "sentence_transformers":
                self._embedder.embed_passages(["ready"])
        except RagkitError as error:
            return fault(error.message, error.mend)
        return None

    def turn(self) -> None:
        """Asked before each slice, and answered when it is the next: this process lives and begins on it."""

    def vectors(self, texts: Sequence[str]) -> Vectors | Fault:
        try:
            return self._embedder.embed_passages(texts)
        except RagkitError as error:
            return fault(error.message, error.mend)

    def weights(self, texts: Sequence[str]) -> Vectors | Fault:
        try:
            return self._splade.embed_passages(texts) if self._splade else []
        except RagkitError as error:
            return fault(error.message, error.mend)


class _Call(NamedTuple):
    """A slice that an actor has; `turn` is the answer to the question before it."""

    number: int
    actor: Any
    turn: Any


class EmbedPool:
    """Actors that share what is to be embedded. One that dies is replaced, and others take over what it had."""

    def __init__(self, cluster: Cluster, work: Work, actors: int, gpus: float) -> None:
        self._ray = cluster.ray
        self._work = work
        self._actor = self._ray.remote(EmbedActor).options(
            num_cpus=_CPUS * work.threads, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        errors = self._ray.exceptions
        # Ray tells in so many ways that a process is gone; one that it ended for memory is a kind of its own.
        self._deaths = (
            errors.RayActorError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.WorkerCrashedError,
        )
        self._ready: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._stillborn = 0
        self._since = 0.0
        for _ in range(actors):
            self._start()

    def _start(self) -> None:
        actor = self._actor.remote(self._work)
        self._starting[actor.ready.remote()] = actor
        self._since = time.monotonic()

    def vectors(self, slices: Sequence[Sequence[str]]) -> Iterator[tuple[int, Vectors]]:
        """Vectors of the embedding model, a slice at a time with its number, as they come."""
        return self._each("vectors", slices)

    def weights(self, slices: Sequence[Sequence[str]]) -> Iterator[tuple[int, Vectors]]:
        """Weights of the SPLADE model, in the same way."""
        return self._each("weights", slices)

    def _each(self, kind: Kind, slices: Sequence[Sequence[str]]) -> Iterator[tuple[int, Vectors]]:
        """Raises ServiceError for what a worker cannot go on with, and when none gets ready in time."""
        waiting = deque(range(len(slices)))
        running: dict[Any, _Call] = {}
        deaths: dict[int, int] = {}
        self._since = time.monotonic()
        while waiting or running:
            for actor in self._free(running) if waiting else ():
                if waiting:
                    number = waiting.popleft()
                    turn = actor.turn.remote()
                    running[getattr(actor, kind).remote(slices[number])] = _Call(number, actor, turn)
            ended, _ = self._ray.wait([*running, *self._starting], num_returns=1, timeout=5.0)
            if not ended and not running and time.monotonic() - self._since > STARTS_WITHIN_S:
                raise _no_room()
            for ref in ended:
                if ref in self._starting:
                    self._started(ref)
                    continue
                call = running.pop(ref)
                vectors = self._got(ref)
                if vectors is not None:
                    yield call.number, vectors
                    continue
                self._replace(call.actor)
                waiting.appendleft(call.number)
                if self._came(call.turn):
                    deaths[call.number] = deaths.get(call.number, 0) + 1
                    if deaths[call.number] == _MOST_DEATHS:
                        raise _deadly(slices[call.number])

    def _free(self, running: dict[Any, _Call]) -> list[Any]:
        """Each actor as often as it has room, those with the least work first."""
        busy = [call.actor for call in running.values()]
        room = [(busy.count(actor), actor) for actor in self._ready]
        return [actor for has in range(_AT_ONCE) for count, actor in room if count <= has]

    def _started(self, ref: Any) -> None:
        actor = self._starting.pop(ref)
        try:
            wrong: Fault | None = self._ray.get(ref)
        except self._deaths as error:
            self._stillborn += 1
            if self._stillborn == _MOST_STILLBORN:
                raise ServiceError(
                    f"{_MOST_STILLBORN} workers of the Ray cluster died in a row while they loaded the model",
                    mend="see Ray's logs; too little memory for ingestion.ray.embed_actors models is the usual reason",
                ) from error
            self._start()
            return
        except self._ray.exceptions.RayError as error:
            raise _unforeseen(error) from error
        if wrong is not None:
            raise wrong.raised()
        self._stillborn = 0
        self._since = time.monotonic()
        self._ready.append(actor)

    def _got(self, ref: Any) -> Vectors | None:
        """What an actor answered; None if it died."""
        try:
            vectors: Vectors | Fault = self._ray.get(ref)
        except self._deaths:
            return None
        except self._ray.exceptions.RayError as error:
            raise _unforeseen(error) from error
        if isinstance(vectors, Fault):
            raise vectors.raised()
        return vectors

    def _replace(self, actor: Any) -> None:
        """Another in the place of one that is gone; it is heard of once for each slice that it had."""
        if actor in self._ready:
            self._ready.remove(actor)
            self._ray.kill(actor)  # it may be out of reach only
            self._start()

    def _came(self, turn: Any) -> bool:
        """Whether an actor that died had come to a slice; one that died idle, or of the slice before, tells nothing."""
        try:
            self._ray.get(turn, timeout=1.0)
        except self._ray.exceptions.RayError:
            return False
        return True

    def close(self) -> None:
        """End the actors."""
        for actor in [*self._ready, *self._starting.values()]:
            self._ray.kill(actor)


def _deadly(texts: Sequence[str]) -> ServiceError:
    return ServiceError(
        f"{_MOST_DEATHS} workers of the Ray cluster died one after the other of the same {len(texts)} texts, the first"
        f" of them {texts[0][:60]!r}...",
        mend="see Ray's logs; a worker without enough memory is the usual reason",
    )


def _unforeseen(error: Exception) -> ServiceError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return ServiceError(f"a worker of the Ray cluster failed: {reason[:300]}")


def _no_room() -> ServiceError:
    return ServiceError(
        f"no worker that embeds has started within {STARTS_WITHIN_S} s: the Ray cluster has no room for one",
        mend="see `ray status`; lower ingestion.ray.embed_gpus or the load, and index again: it goes on where it was",
    )
