"""Fresh processes that do not run the caller's script again.

Python's `spawn` imports the main script in every child, so that a plain script without an `if __name__ == "__main__"`
guard would index again inside each parser process. The parsers need nothing of that script.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_LOCK = threading.Lock()


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - the name that multiprocessing calls
        with caller_hidden():
            return SpawnProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


class FreshProcesses(SpawnContext):
    """`spawn` without the caller's script; what runs in a child must lie in an importable module."""

    Process = _Process


@contextmanager
def caller_hidden() -> Generator[None]:
    """While this lasts, `__main__` looks like an interactive session, which children cannot import."""
    with _LOCK, _main_hidden():
        yield


@contextmanager
def _main_hidden() -> Generator[None]:
    main: Any = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


__all__ = ["FreshProcesses", "caller_hidden"]
