"""`ragkit keys`: who may call the server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ragkit.cli.options import STYLE, ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from ragkit.serve.keys import Keys

app = typer.Typer(**STYLE, help="API keys of the server: create, list, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Of whom or what it is for; budgets and reports name it.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="It sees only documents of this tenant; without it, every document.")
    ] = "",
    role: Annotated[
        Literal["read", "write", "admin"],
        typer.Option("--role", help="read: ask and search; write: upload and delete too; admin: metrics, feedback."),
    ] = "read",
    requests_per_minute: Annotated[
        int | None, typer.Option("--requests-per-minute", min=1, help="Instead of serve.requests_per_minute.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Instead of serve.concurrency_per_key.")
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    with _opened(config, sets) as keys:
        key, text = keys.create(
            name, tenant=tenant, role=role, requests_per_minute=requests_per_minute, concurrency=concurrency
        )
    if as_json:
        print_json({"key": text, **asdict(key)})
        return
    typer.echo(text)
    seen = f"documents of tenant {tenant}" if tenant else "every document (--tenant confines it)"
    typer.echo(f"note: {name} has role {role} and sees {seen}; the key cannot be shown again", err=True)


@app.command("list")
def list_(config: ConfigOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """The keys that were made, without their texts."""
    with _opened(config, sets) as keys:
        made = keys.all()
    if as_json:
        print_json({"keys": [asdict(key) for key in made]})
        return
    from rich.table import Table

    from ragkit.cli.printing import console

    table = Table()
    for heading in ("name", "tenant", "role", "a minute", "at once", "made", "revoked"):
        table.add_column(heading)
    for key in made:
        limits = ("-" if limit is None else str(limit) for limit in (key.requests_per_minute, key.concurrency))
        times = (_day(key.created), _day(key.revoked))
        table.add_row(key.name, key.tenant or "-", key.role, *limits, *times)
    console().print(table if made else "no key was made; make one: ragkit keys create NAME")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="As `ragkit keys list` shows it.")],
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key back; a running server refuses it from its next request on."""
    with _opened(config, sets) as keys:
        key = keys.revoke(name)
    if as_json:
        print_json(asdict(key))
    else:
        typer.echo(f"revoked {name}")


@contextmanager
def _opened(config: Path | None, sets: list[str] | None) -> Generator[Keys]:
    from ragkit.serve.database import Database
    from ragkit.serve.keys import Keys

    with closing(Database(load(config, sets).serve.folder)) as database:
        yield Keys(database)


def _day(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
