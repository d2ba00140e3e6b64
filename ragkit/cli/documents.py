"""Find a document of the index by the name that a person typed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.store.manifest import Entry, Manifest


def find_document(manifest: Manifest, name: str) -> Entry:
    """The document of this name, or the only one whose name ends with it: `faq.html` is `guides/faq.html`.

    Raises ConfigError with the names that come near.
    """
    entry = manifest.find(name)
    if entry is not None:
        return entry
    entries = list(manifest.entries())
    ending = [entry for entry in entries if entry.name.endswith(f"/{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        names = ", ".join(entry.name for entry in ending[:5])
        raise ConfigError(f"{len(ending)} documents are named {name!r}", mend=f"say which: {names}")
    raise unknown_document(name, [entry.name for entry in entries])


def unknown_document(name: str, held: Sequence[str]) -> ConfigError:
    """The error for a name that the index does not hold, with a did-you-mean.

    >>> str(unknown_document("faq.htm", ["guides/faq.html", "a.md"]))
    "the index holds no document named 'faq.htm'; did you mean guides/faq.html?"
    """
    near = _near(name, held)
    mend = f"did you mean {' or '.join(near)}?" if near else "the names are in: ragkit inspect"
    return ConfigError(f"the index holds no document named {name!r}", mend=mend)


def _near(name: str, held: Sequence[str]) -> list[str]:
    """Names like it, whatever the case. By their last parts, for equal folders make unlike names alike."""
    wanted = name.casefold()
    by_last: dict[str, str] = {}
    for candidate in held:
        by_last.setdefault(_last(candidate.casefold()), candidate)
    near = [by_last[match] for match in get_close_matches(_last(wanted), by_last, cutoff=0.7)]
    return near or [candidate for candidate in held if wanted in candidate.casefold()][:3]


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]
