"""`ragkit cost`: what answers cost and what is left, from a ledger that real answers filled."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ragkit.gateway.ledger import Call, Ledger, Payer
from ragkit.types import CostLine, Usage

Run = Callable[..., str]
DAY = 1_795_694_400.0  # 2026-11-26


def filled(tmp_path: Path) -> list[str]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number, tenant in enumerate(("acme", "acme", "umbrella")):
        lines = [
            CostLine("embed", 1_000_000, "", "e", Usage(7)),
            CostLine("generate", 2_000_000 if number else None, "", "m", Usage(100, 20, 40)),
        ]
        ledger.settle(Call(Payer(tenant), f"t{number}", "c", lines), at=DAY + 86_400 * number)
    ledger.close()
    return ["--set", f"costs.ledger={tmp_path / 'ledger.sqlite'}"]


def test_groups_add_up_to_the_total(ragkit: Run, tmp_path: Path) -> None:
    where = filled(tmp_path)
    for by, groups in (("day", 3), ("month", 1), ("tenant", 2), ("key", 1), ("model", 2), ("stage", 2)):
        found = json.loads(ragkit("cost", "report", "--by", by, *where, "--json"))
        assert len(found["groups"]) == groups
        assert sum(group["nano_usd"] for group in found["groups"]) == found["total"]["nano_usd"] == 7_000_000
    assert found["total"]["calls"] == 3
    assert found["total"]["unpriced"] == 1
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.settle(Call(Payer("acme"), "t9", "c", [], refused=True), at=DAY)
    ledger.close()
    assert json.loads(ragkit("cost", "report", *where, "--json"))["total"]["calls"] == 4
    one_day = json.loads(ragkit("cost", "report", *where, "--since", "2026-11-27", "--until", "2026-11-27", "--json"))
    assert [group["group"] for group in one_day["groups"]] == ["2026-11-27"]


def test_people_read_a_table_and_are_told_what_has_no_price(ragkit: Run, tmp_path: Path) -> None:
    where = filled(tmp_path)
    said = ragkit("cost", "report", "--by", "tenant", *where)
    assert "umbrella" in said
    assert "1 lines have no known price" in said
    assert ragkit("cost", "report", "--by", "model", "--csv", *where).splitlines()[2] == "m,3,300,120,60,4000000,1,0"


def test_savings_are_set_against_what_would_have_been_paid(ragkit: Run, tmp_path: Path) -> None:
    where = filled(tmp_path)
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        lines = [
            CostLine("generate", 1_000_000, "", "small", Usage(100), "cheap", 9_000_000),
            CostLine("cache", 0, "exact hit", saved_nano_usd=4_000_000),
        ]
        ledger.settle(Call(Payer("acme"), "t5", "c", lines), at=DAY)
    found = json.loads(ragkit("cost", "report", "--by", "endpoint", *where, "--json"))
    saved = {group["group"]: group["saved_nano_usd"] for group in found["groups"]}
    assert saved == {"": 4_000_000, "cheap": 9_000_000}
    # 13 of 13 + 8 millionths were not paid.
    assert "saved 62% of what answers" in ragkit("cost", "report", *where)


def test_budgets_show_what_is_left(ragkit: Run, tmp_path: Path) -> None:
    where = filled(tmp_path)
    budgets = "costs.budgets=[{tenant: '*', per: total, usd: 0.01}, {per: total, usd: 1.0}]"
    found = json.loads(ragkit("cost", "budgets", *where, "--set", budgets, "--json"))
    left = {budget["scope"]: budget["left_nano_usd"] for budget in found["budgets"]}
    assert left == {"tenant acme": 6_000_000, "tenant umbrella": 7_000_000, "all calls": 993_000_000}
    assert "no costs.budgets" in ragkit("cost", "budgets", *where)
    unused = "costs.budgets=[{tenant: initech, per: total, usd: 2.0}]"
    assert "tenant initech" in ragkit("cost", "budgets", *where, "--set", unused)


def test_what_is_missing_is_said(ragkit: Run, tmp_path: Path) -> None:
    assert "keeps no ledger; set costs.ledger" in ragkit("cost", "report", code=2)
    missing = f"costs.ledger={tmp_path / 'none.sqlite'}"
    assert "no ledger" in ragkit("cost", "report", "--set", missing, code=2)
    assert "is no day" in ragkit("cost", "report", *filled(tmp_path), "--since", "yesterday", code=2)
