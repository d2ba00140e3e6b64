"""`ragkit cost`: what was spent, and how much of each budget is left; from the ledger of the config."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ragkit.cli.options import STYLE, ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.gateway.ledger import Ledger

app = typer.Typer(**STYLE, help="What answers cost: report, budgets.")


@app.command()
def report(
    by: Annotated[
        Literal["day", "month", "tenant", "key", "model", "endpoint", "stage"],
        typer.Option("--by", help="What is added up."),
    ] = "day",
    since: Annotated[str, typer.Option("--since", metavar="DATE", help="First day (UTC), as 2026-11-26.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="Last day (UTC).")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tokens and dollars by day, month, tenant, key, model, endpoint or stage."""
    from ragkit.gateway import cost_report

    with _opened(config, sets) as ledger:
        groups = cost_report.spent_by(ledger, by, _day(since), _day(until) or "9")
        total = cost_report.total_of(cost_report.spent_by(ledger, "day", _day(since), _day(until) or "9"))
    if as_json:
        print_json({"by": by, "groups": [asdict(group) for group in groups], "total": asdict(total)})
        return
    if as_csv:
        typer.echo(cost_report.as_csv(groups), nl=False)
        return
    from rich.table import Table

    from ragkit.cli.printing import clean, console

    table = Table()
    table.add_column(by)
    for heading in ("answers", "input", "cached", "output", "US dollars", "for 1,000", "saved"):
        table.add_column(heading, justify="right")
    for group in [*groups, total]:
        thousand = group.usd / group.calls * 1000 if group.calls else 0.0
        tokens = (group.input_tokens, group.cached_tokens, group.output_tokens)
        style = "bold" if group is total else ""
        name = clean(group.group) or "-"
        money = (f"{group.usd:.6f}", f"{thousand:.4f}", f"{group.saved_nano_usd / 1e9:.6f}")
        table.add_row(name, f"{group.calls:,}", *(f"{count:,}" for count in tokens), *money, style=style)
    screen = console()
    screen.print(table)
    if total.saved_nano_usd:
        share = total.saved_nano_usd / max(1, total.saved_nano_usd + total.nano_usd)
        screen.print(f"saved {share:.0%} of what answers without the cache, by the dearest endpoint, would have cost")
    if total.unpriced:
        screen.print(
            f"{total.unpriced:,} lines have no known price and are in no sum; set costs.prices", style="yellow"
        )


@app.command()
def budgets(
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Each budget of the config: spent, reserved for calls under way, left."""
    import time

    from ragkit.gateway.ledger import Payer
    from ragkit.gateway.spending import limit_of

    loaded = load(config, sets)
    rows: list[dict[str, object]] = []
    with _opened(config, sets) as ledger:
        payers = {Payer(str(tenant), str(key)) for tenant, key in ledger.rows("SELECT DISTINCT tenant, key FROM calls")}
        for budget in loaded.costs.budgets:
            # Somebody who is named has a budget before the first call; those that "*" means are known by their calls.
            given = (budget.tenant, budget.key)
            named = set[Payer]() if "*" in given else {Payer(*(part or "" for part in given))}
            limits = {limit_of(budget, payer, time.time()) for payer in payers | named} - {None}
            for limit in sorted(filter(None, limits), key=lambda limit: limit.scope.name):
                spent, held = ledger.account(limit.scope)
                left = limit.nano_usd - spent - held
                money = {"limit": limit.nano_usd, "spent": spent, "reserved": held, "left": left}
                rows.append({"scope": limit.scope.words, **{f"{name}_nano_usd": each for name, each in money.items()}})
    if as_json:
        print_json({"budgets": rows})
        return
    from rich.table import Table

    from ragkit.cli.printing import clean, console

    table = Table()
    for heading in ("budget", "US dollars", "spent", "reserved", "left"):
        table.add_column(heading, justify="left" if heading == "budget" else "right")
    for row in rows:
        scope, *money = row.values()
        table.add_row(clean(str(scope)), *(f"{int(str(nano)) / 1e9:.6f}" for nano in money))
    console().print(table if rows else "the config has no costs.budgets")


@contextmanager
def _opened(config: Path | None, sets: list[str] | None) -> Generator[Ledger]:
    from ragkit.gateway.ledger import Ledger

    costs = load(config, sets).costs
    if costs.ledger is None:
        raise RagkitError("the config keeps no ledger", mend="set costs.ledger: .ragkit/ledger.sqlite")
    if isinstance(costs.ledger, Path) and not costs.ledger.exists():
        raise RagkitError(f"there is no ledger {costs.ledger} yet", mend="it is made with the first answer")
    with closing(Ledger(costs.ledger, costs.ledger_password)) as ledger:
        yield ledger


def _day(text: str) -> str:
    from datetime import date

    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise RagkitError(f"{text} is no day", mend="write it as 2026-11-26") from None
