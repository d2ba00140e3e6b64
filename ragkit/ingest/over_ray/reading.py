"""Sources to documents with chunks, by Ray Data: read on the machine of the run, parsed and chunked by actors anywhere.

Files are read where `ragkit index` runs and travel as bytes, so that the other machines need no disk with the corpus.
An actor reads them as a single machine does, in processes of its own that have a time limit and may die. Ray Data
holds a bounded number of blocks between the two, and repeats what was lost with a worker or a machine.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ragkit.embed import make_embedder
from ragkit.errors import ParseError, RagkitError, ServiceError
from ragkit.ingest.discover import Source, read_row_line
from ragkit.ingest.engine import Chunker, Reading
from ragkit.ingest.over_ray.cluster import Cluster
from ragkit.ingest.over_ray.work import STARTS_WITHIN_S, Fault, Work, begin, fault
from ragkit.ingest.parse import Parsed, parse_file
from ragkit.ingest.settings import fitted_chunking, token_counter_of
from ragkit.ingest.spawn import FreshProcesses
from ragkit.ingest.workers import Parsers

if TYPE_CHECKING:
    from pebble import ProcessPool

_CPUS = 0.2
_LARGEST_BLOCK = 64
_READERS = 2
_BLOCK_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """A source with its bytes, or why they could not be read; `owner` is the tenant that it belongs to."""

    source: Source
    owner: str | None
    data: bytes | str


Outcome = Reading | ParseError | Fault


def read(
    cluster: Cluster,
    work: Work,
    actors: int,
    sources: Sequence[tuple[Source, str | None]],
    parse: Callable[[Path, bool], Parsed] = parse_file,
) -> Generator[Reading | ParseError]:
    """What each source became, in their order. `sources` come with their owners; `parse` reads files.

    Raises ServiceError for what no worker can go on with.
    """
    if not sources:  # a run that only owes vectors
        return
    import ray.data
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    data: Any = ray.data
    blocks = -(-len(sources) // block_size(len(sources), actors))
    actors = min(actors, blocks)
    rows = [{"source": source, "owner": owner} for source, owner in sources]
    dataset = data.from_items(rows, override_num_blocks=blocks)
    context = dataset.context
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = _BLOCK_BYTES
    context.wait_for_min_actors_s = STARTS_WITHIN_S
    dataset = dataset.map(
        _with_bytes,
        compute=TaskPoolStrategy(size=min(_READERS, blocks)),
        num_cpus=0,
        label_selector={"ray.io/node-id": cluster.node},
    ).map_batches(
        ReadActor,
        fn_constructor_args=(work, parse),
        compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=_CPUS,
        batch_size=None,
    )
    for outcome in _outcomes_of(dataset):
        if isinstance(outcome, Fault):
            raise outcome.raised()
        yield outcome


def _outcomes_of(dataset: Any) -> Iterator[Outcome]:
    """Whatever goes wrong in Ray Data as an error of a service: actors themselves raise nothing."""
    rows = iter(dataset.iter_rows())
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # of Ray Data, and of what it is made of
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ServiceError(
                f"the Ray cluster cannot read documents: {reason[:300]}",
                mend="see `ray status` and Ray's logs; index again: the run goes on where it was",
            ) from error
        if row is None:
            return
        yield row["outcome"]


def block_size(sources: int, actors: int) -> int:
    """How many sources an actor gets at once: enough to keep Ray's part small, few enough for all actors to have some.

    >>> block_size(20, 2), block_size(745, 1), block_size(1_000_000, 8)
    (1, 64, 64)
    """
    return max(1, min(_LARGEST_BLOCK, sources // (actors * 8)))


def _with_bytes(row: dict[str, Any]) -> dict[str, Any]:
    source: Source = row["source"]
    data: bytes | str
    try:
        data = source.path.read_bytes() if source.row_at is None else read_row_line(source)
    except OSError as error:
        # A row that is not there is one that was changed, as the worker will see.
        data = f"cannot be read: {error.strerror}" if source.row_at is None else b""
    return {"item": Item(source, row["owner"], data)}


class ReadActor:
    """Parses and chunks in processes of its own, none of which can take this one along."""

    def __init__(self, work: Work, parse: Callable[[Path, bool], Parsed] = parse_file) -> None:
        self._work = work
        parsing = work.config.ingestion.parsing.model_copy(update={"workers": 1})
        self._parsers = Parsers(parsing, parse)
        self._chunkers: ProcessPool | None = None
        self._fault: Fault | None = None
        try:
            begin(work)
        except RagkitError as error:
            self._fault = fault(error.message, error.mend)

    def __call__(self, batch: dict[str, Any]) -> Generator[dict[str, Any]]:
        items = cast("list[Item]", list(batch["item"]))
        for outcome in self._outcomes(items):
            yield {"outcome": [outcome]}

    def _outcomes(self, items: Sequence[Item]) -> Iterator[Outcome]:
        if self._fault is not None:
            yield self._fault
            return
        with tempfile.TemporaryDirectory(prefix="ragkit-") as folder:
            for number, item in enumerate(items):
                yield self._outcome(item, Path(folder) / str(number))

    def _outcome(self, item: Item, folder: Path) -> Outcome:
        if isinstance(item.data, str):
            return ParseError(item.data)
        place = _put(item.source, item.data, folder)
        try:
            [(_, parsed)] = self._parsers.outcomes([place])
        finally:
            place.path.unlink(missing_ok=True)
        return parsed if isinstance(parsed, ParseError) else self._chunked(item, parsed)

    def _chunked(self, item: Item, parsed: Parsed) -> Outcome:
        from pebble import ProcessExpired, ProcessPool

        if self._chunkers is None:
            self._chunkers = ProcessPool(
                max_workers=1, context=FreshProcesses(), initializer=_tell, initargs=(self._work,)
            )
        try:
            made = self._chunkers.schedule(_chunk, args=[item.source, item.owner, parsed]).result()
        except ProcessExpired as error:
            return ParseError(f"ended the process that cut it into chunks (exit code {error.exitcode})")
        except Exception as error:  # what would end a run on one machine
            return fault(f"{item.source.name} cannot be cut into chunks: {type(error).__name__}: {str(error)[:160]}")
        return made if isinstance(made, Reading) else fault(*made)


def _put(source: Source, data: bytes, folder: Path) -> Source:
    """The source with its bytes in a file of this machine, under its own name, which parsers go by."""
    folder.mkdir(mode=0o700)
    path = folder / source.path.name
    path.write_bytes(data)
    return replace(source, path=path, row_at=None if source.row_at is None else 0)


_told: list[Work] = []


def _tell(work: Work) -> None:
    _told[:] = [work]


@cache
def _chunker() -> Chunker:
    [work] = _told
    config = work.config
    tokens = token_counter_of(config)
    embedding = config.ingestion.embedding
    return Chunker(fitted_chunking(config, tokens), tokens, embedding, make_embedder(embedding))


def _chunk(source: Source, owner: str | None, parsed: Parsed) -> Reading | tuple[str, str | None]:
    try:
        return _chunker().read(source, parsed, owner)
    except RagkitError as error:
        return error.message, error.mend
