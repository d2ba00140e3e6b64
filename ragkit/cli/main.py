"""The command line: finds the module of the command that was asked for, and prints errors as one line.

Each command is a module `ragkit/cli/NAME.py` with a function NAME (or, for a group, a `typer.Typer` called
`app`). It is imported only when the command runs, so that help stays quick; help shows the table below.
A command returns None; it ends early with `raise typer.Exit(code)`.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ragkit.cli.options import STYLE
from ragkit.errors import RagkitError

COMMANDS = {
    "init": "Write a commented config file to start from.",
    "index": "Read documents into the index.",
    "search": "Find the passages that match a question.",
    "ask": "Answer a question with citations.",
    "batch": "Answer a file of questions, here or as a provider's batch.",
    "serve": "Serve questions, search and uploads over HTTP.",
    "mcp": "Give a language model the tools search, ask and get_document.",
    "keys": "API keys of the server: create, list, revoke.",
    "why": "Explain how a passage got its rank, or why it is missing.",
    "inspect": "Show what the index holds.",
    "delete": "Remove documents from the index.",
    "eval": "Measure retrieval on a data set.",
    "train": "Fit a reranker, an embedding model or refusals to your documents.",
    "router": "Fit the choice of endpoints to recorded answers.",
    "cost": "Report what answers cost, and what is left of budgets.",
    "plan": "Reckon what a larger corpus and its questions would need.",
    "cache": "Show, explain and clear answers that are kept.",
    "models": "List, fetch, verify and locate models.",
    "config": "Show, check and hash the configuration.",
    "doctor": "Check the installation, models and services.",
}


class _LazyGroup(TyperGroup):
    """Lists the commands from the table and imports the module of one when it is invoked."""

    # Any: the types of click's that Typer carries inside are private to it.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _command(name), rest


def _command(name: str) -> Any:
    module = import_module(f"ragkit.cli.{name}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(**STYLE)
        group.command(name, help=COMMANDS[name])(getattr(module, name))
    return typer.main.get_command(group)


app = typer.Typer(cls=_LazyGroup, **STYLE)


def _listed_only() -> None:
    """Stands for a command in the list of help; `_LazyGroup` puts the real one in its place."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_listed_only)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ragkit {version()}")
        raise typer.Exit


def version() -> str:
    """The installed version, or `unknown` when ragkit runs from a source tree that is not installed."""
    try:
        return metadata.version("ragkit")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


@app.callback()
def _global(  # pyright: ignore[reportUnusedFunction]
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Index documents, ask questions, get answers whose citations are checked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    0: fine, 1: the job ran and failed its gate, 2: bad input or config, 130: stopped by the user. What a user
    can mend is one `error: ...` line on stderr, and with --json also {"error": ...} on stdout. Any other
    exception is a defect and passes through.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    ragkit ...
    0
    """
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        result = app(args, prog_name="ragkit", standalone_mode=False)
    except RagkitError as error:
        return _fail(f"{error.message}; {_same_system(error.mend, args)}" if error.mend else error.message, args)
    except typer.TyperException as error:
        return _fail(_one_line(error), args)
    except (KeyboardInterrupt, typer.Abort):
        result = 130
    except Exception as error:
        if (damaged := _damaged_database(error)) is None:
            raise
        return _fail(damaged, args)
    if result == 130:
        typer.echo("stopped", err=True)
    return result if isinstance(result, int) else 0


def _damaged_database(error: Exception) -> str | None:
    """What to say of a page of a file that SQLite cannot read, which shows when it is come to."""
    import sqlite3

    if not isinstance(error, sqlite3.DatabaseError):
        return None
    return f"a database file cannot be read ({error}); if it is the manifest of an index: ragkit index --rebuild PATH"


def _same_system(mend: str, args: Sequence[str]) -> str:
    """The mend with the options that name the system, if it ends with a command to type.

    >>> _same_system("to build it anew: ragkit index --rebuild", ["ask", "Why?", "-c", "my.yaml", "--json"])
    'to build it anew: ragkit index --rebuild -c my.yaml'
    """
    if not re.search(r"\bragkit (index|inspect|delete|config)\b[^;]*$", mend):
        return mend
    options: list[str] = []
    for place, arg in enumerate(args):
        if arg in ("-c", "--config", "--set"):
            options += args[place : place + 2]
        elif arg.startswith(("--config=", "--set=")):
            options.append(arg)
    return " ".join([mend, *([shlex.join(options)] if options else [])])


def _fail(message: str, args: Sequence[str]) -> int:
    typer.echo(f"error: {message}", err=True)
    if "--json" in args:
        typer.echo(json.dumps({"error": message}, ensure_ascii=False))
    return 2


def _one_line(error: typer.TyperException) -> str:
    """A wrong command line in one line, with the help that tells more."""
    message = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", "; did you")
    context = getattr(error, "ctx", None)
    if context is None or message.endswith("?"):
        return message[:1].lower() + message[1:]
    return f"{message[:1].lower()}{message[1:]}; see: {context.command_path} --help"


if __name__ == "__main__":
    sys.exit(main())
