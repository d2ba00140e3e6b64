"""Parse files in processes of their own, so that one that hangs or dies costs one file.

`pebble` keeps the processes, ends the one that runs over its time, and replaces the one that dies.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.config.schema import Parsing
from ragkit.errors import ParseError
from ragkit.ingest.discover import Source, read_row
from ragkit.ingest.parse import Parsed, parse_file, parse_row, reads_as_text
from ragkit.ingest.spawn import FreshProcesses

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

Outcome = tuple[Source, Parsed | ParseError]


def parse_sources(
    sources: Iterable[Source], parsing: Parsing, parse: Callable[[Path, bool], Parsed] = parse_file
) -> Iterator[Outcome]:
    """Parse each source; outcomes come in the order of the sources, and only a bounded number is held.

    Text formats are read in this process: they need no parser that could hang. The worker processes start with the
    first other file, so that a folder of Markdown costs none; there `parse` reads the files.
    """
    with closing(Parsers(parsing, parse)) as parsers:
        yield from parsers.outcomes(sources)


class Parsers:
    """The processes of `parse_sources`, for who has sources again and again."""

    def __init__(self, parsing: Parsing, parse: Callable[[Path, bool], Parsed] = parse_file) -> None:
        self._parsing = parsing
        self._parse = parse
        self._workers = parsing.workers or os.cpu_count() or 1
        self._pool: ProcessPool | None = None

    def outcomes(self, sources: Iterable[Source]) -> Iterator[Outcome]:
        """As of `parse_sources`; the processes stay."""
        waiting: deque[tuple[Source, ProcessFuture[Parsed] | Parsed | ParseError]] = deque()
        for source in sources:
            waiting.append((source, self._begun(source)))
            while len(waiting) > self._workers * 4 or (waiting and isinstance(waiting[0][1], (Parsed, ParseError))):
                yield _outcome(*waiting.popleft(), self._parsing)
        while waiting:
            yield _outcome(*waiting.popleft(), self._parsing)

    def _begun(self, source: Source) -> ProcessFuture[Parsed] | Parsed | ParseError:
        if source.row_at is not None or _is_text(source):
            return _parse_here(source)
        self._pool = self._pool or _start_pool(self._workers)
        arguments = [source.path, self._parsing.pdf_layout]
        return self._pool.schedule(self._parse, args=arguments, timeout=self._parsing.timeout_s)

    def close(self) -> None:
        """End the processes, whatever they do."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()


def _is_text(source: Source) -> bool:
    try:
        return reads_as_text(source.path)
    except OSError:
        return True  # Gone since it was found: `_parse_here` says so.


def _start_pool(workers: int) -> ProcessPool:
    from pebble import ProcessPool

    # Not fork: this process may hold the threads and locks of torch and of the vector store.
    return ProcessPool(max_workers=workers, context=FreshProcesses())


def _parse_here(source: Source) -> Parsed | ParseError:
    try:
        if source.row_at is not None:
            return parse_row(read_row(source))
        return parse_file(source.path)
    except ParseError as error:
        return error
    except OSError as error:
        return ParseError(f"cannot be read: {error.strerror}")
    except Exception as error:
        return _broken(error)


def _outcome(source: Source, pending: ProcessFuture[Parsed] | Parsed | ParseError, parsing: Parsing) -> Outcome:
    from pebble import ProcessExpired

    if isinstance(pending, (Parsed, ParseError)):
        return source, pending
    try:
        return source, pending.result()
    except ParseError as error:
        return source, error
    except FutureTimeout:
        return source, ParseError(f"took longer than {parsing.timeout_s:g} s to parse (ingestion.parsing.timeout_s)")
    except ProcessExpired as error:
        return source, ParseError(f"ended its parser process (exit code {error.exitcode})")
    except OSError as error:
        return source, ParseError(f"cannot be read: {error.strerror}")
    except Exception as error:
        return source, _broken(error)


def _broken(error: Exception) -> ParseError:
    return ParseError(f"broke the parser: {type(error).__name__}: {str(error)[:160]}")
