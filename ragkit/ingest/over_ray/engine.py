"""The engine of `ingestion.engine: ray`: how many workers of what kind, and what each of them does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit.config.ray import Ray
from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.errors import ParseError
from ragkit.ingest.batches import BATCH_CHUNKS
from ragkit.ingest.discover import Source
from ragkit.ingest.embedding import SLICE, EmbedsSlices, in_turn
from ragkit.ingest.over_ray.cluster import connect
from ragkit.ingest.over_ray.embedding import EmbedPool
from ragkit.ingest.over_ray.reading import read
from ragkit.ingest.over_ray.work import work_of
from ragkit.ingest.owner import owner_of
from ragkit.ingest.report import Stopwatch

if TYPE_CHECKING:
    from ragkit.ingest.engine import Reading


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes an index run has in a cluster. `threads` and `gpus` are those of a process that embeds."""

    parse: int
    embed: int
    threads: int
    gpus: float


def workers_of(settings: Ray, cpus: int, gpus: int) -> Workers:
    """The numbers of the config, and for those that it leaves out what the cluster suggests.

    >>> workers_of(Ray(), cpus=2, gpus=0)
    Workers(parse=1, embed=2, threads=1, gpus=0.0)
    >>> workers_of(Ray(), cpus=64, gpus=4)
    Workers(parse=16, embed=4, threads=16, gpus=1.0)
    >>> workers_of(Ray(embed_actors=4), cpus=16, gpus=0).threads
    4
    """
    share = settings.embed_gpus if settings.embed_gpus is not None else float(gpus > 0)
    embed = settings.embed_actors or (max(1, int(gpus / share)) if share else cpus)
    return Workers(settings.parse_actors or max(1, cpus // 4), embed, max(1, cpus // embed), share)


class RayEngine:
    """Parsing, chunking and models in the cluster; an embedding API is asked from here, where its key is."""

    def __init__(self, config: Config, embedder: Embedder) -> None:
        """Connects, and starts the actors that embed; they load their models while the first files are read."""
        self._config = config
        self._cluster = connect(config.ingestion.ray)
        try:
            self._workers = workers_of(config.ingestion.ray, self._cluster.cpus, self._cluster.gpus)
            self._work = work_of(config)
            api, splade = config.ingestion.embedding.backend == "openai", config.retrieval.sparse != "bm25"
            work = replace(self._work, threads=self._workers.threads)
            self._pool = (
                None if api and not splade else EmbedPool(self._cluster, work, self._workers.embed, self._workers.gpus)
            )
        except BaseException:
            self._cluster.close()
            raise
        self.vectors: EmbedsSlices = in_turn(embedder) if api or self._pool is None else self._pool.vectors
        self.weights: EmbedsSlices | None = self._pool.weights if splade and self._pool else None

    @property
    def batch_chunks(self) -> int:
        """Two slices for each process that embeds."""
        return max(BATCH_CHUNKS, 2 * SLICE * self._workers.embed)

    def read(self, sources: Sequence[Source], watch: Stopwatch) -> Iterator[tuple[Source, Reading | ParseError]]:
        owners = [owner_of(source.path, self._config.serve.folder) for source in sources]
        # Files of the run's machine are found by their whole path from any working directory.
        placed = [replace(source, path=source.path.absolute()) for source in sources]
        outcomes = read(self._cluster, self._work, self._workers.parse, list(zip(placed, owners, strict=True)))
        with closing(outcomes):
            yield from zip(sources, watch.iterate("parse", outcomes), strict=True)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._cluster.close()
