"""The errors that ragkit raises on purpose: each one names the thing that is wrong and the mend.

Everything a user can cause ends in a subclass of `RagkitError`; the command line prints its text as one
line and exits with code 2. Anything else that escapes is a defect of ragkit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ragkit.types import Usage


class RagkitError(Exception):
    """Base of ragkit's own errors: a sentence that names what is wrong and, if known, what mends it.

    `place` is where a wrong setting was written, once that is known: "ragkit.yaml:12".

    >>> str(RagkitError("no index at .ragkit/index", mend="run: ragkit index PATH"))
    'no index at .ragkit/index; run: ragkit index PATH'
    """

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self._message = message
        self.mend = mend
        self.place: str | None = None

    @property
    def message(self) -> str:
        """What is wrong, and where; without the mend."""
        return f"{self.place}: {self._message}" if self.place else self._message

    def __str__(self) -> str:
        return f"{self.message}; {self.mend}" if self.mend else self.message


class ConfigError(RagkitError):
    """The configuration is wrong: unknown key, wrong value, missing variable, impossible combination."""


class MissingExtra(RagkitError):
    """An optional package is not installed.

    >>> str(MissingExtra("sentence_transformers", "local"))
    "sentence_transformers is not installed; pip install 'ragkit[local]'"
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed", mend=f"pip install 'ragkit[{extra}]'")


class ParseError(RagkitError):
    """One file could not be read as a document. It costs that file, never the run."""


class IndexMismatch(RagkitError):
    """The index on disk was built with other settings than the config asks for."""


class IndexSwitched(IndexMismatch):
    """The index was switched to other settings, from those that the config asks for."""


class IndexLocked(RagkitError):
    """Another process is writing this index."""


class StoreError(RagkitError):
    """The vector store refused, failed or is out of reach."""


class ModelError(RagkitError):
    """A model cannot be found, has the wrong bytes, or cannot read a text of this length."""


class BudgetExceeded(RagkitError):
    """A call may cost more than its budget has left."""


Fault = Literal["refused", "unreachable", "timed out", "cut off", "unreadable", "empty", "failed"]


class ServiceError(RagkitError):
    """A remote service (generator, embedder, reranker) failed or answered something unreadable.

    `fault` is how, `status` the HTTP status of one that refused, `retry_after_s` how long it asks to be left alone.
    `usage` are the tokens that it reported all the same: an answer that is of no use is paid for too.
    """

    def __init__(
        self,
        message: str,
        *,
        mend: str | None = None,
        fault: Fault = "failed",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, mend=mend)
        self.fault: Fault = fault
        self.status = status
        self.retry_after_s = retry_after_s
        self.usage: Usage | None = None


class StreamCut(ServiceError):
    """An answer broke off after some of it was shown, so that nobody else can go on with it; `said` is that part."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message, mend="ask again", fault="cut off")
        self.said = said
