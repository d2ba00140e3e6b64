"""`ragkit doctor`: is everything there that this config needs, and what mends what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, print_json
from ragkit.doctor.finding import Finding
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.config.schema import Config


def doctor(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check the installation, models and services."""
    findings = list(examine(config, overrides or ()))
    worst = next((status for status in ("fail", "warn") if any(f.status == status for f in findings)), "ok")
    if as_json:
        print_json({"status": worst, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    if worst == "fail":
        raise typer.Exit(1)


def examine(config_path: Path | None, overrides: list[str] | tuple[str, ...]) -> Iterator[Finding]:
    """All findings, one after the other; a config that cannot be read ends those that need it."""
    from ragkit.config import load_config
    from ragkit.doctor import installation, models, services

    yield installation.python_version()
    try:
        loaded = load_config(config_path, overrides)
    except ConfigError as error:
        yield Finding("config", "fail", error.message, error.mend)
        yield from installation.packages(set())
        return
    config = loaded.config
    yield Finding("config", "ok", ", ".join(str(file) for file in loaded.files) or "built-in defaults")
    yield from installation.packages(installation.needed_extras(config))
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        models.model,
        models.sparse_model,
        models.reranker,
        models.reranking,
        models.reader,
        models.generator,
        models.prices,
        services.database,
        services.kept_answers,
        services.store,
        services.keys,
        services.services,
        services.ledger,
        services.cluster,
        installation.machine,
    )
    for check in checks:
        yield from check(config)


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import clean, console, counted

    styles = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=20)
    table.add_column(overflow="fold")
    for finding in findings:
        detail = Text(clean(finding.detail))
        if finding.mend:
            detail.append(f"\n{clean(finding.mend)}", style="bold")
        table.add_row(Text(finding.status, style=styles[finding.status]), finding.check, detail)
    screen = console()
    screen.print(table)
    fails, warns = (sum(1 for finding in findings if finding.status == status) for status in ("fail", "warn"))
    counts = [counted(number, thing) for number, thing in ((fails, "failure"), (warns, "warning")) if number]
    screen.print("\n" + (", ".join(counts) or "everything is fine"))
