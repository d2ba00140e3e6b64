"""`costs.ledger`: a file or a PostgreSQL address, which never holds a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.config import load_config, resolved_yaml
from ragkit.config.costs import Costs
from ragkit.errors import ConfigError


def costs_of(*sets: str) -> Costs:
    return load_config(None, [f"costs.{one}" for one in sets], environ={"PW": "hunter2"}).config.costs


def test_a_file_is_a_path_and_an_address_stays_as_it_is_written() -> None:
    assert costs_of("ledger=.ragkit/l.sqlite").ledger == Path(".ragkit/l.sqlite")
    assert Costs(ledger=Path("l.sqlite")).ledger == Path("l.sqlite")
    several = "postgresql://ragkit@db1:5432,db2:5432/ragkit?target_session_attrs=read-write"
    for address in ("postgresql://ragkit@db/ragkit", "postgres:///ragkit?host=/run/postgresql", several):
        assert costs_of(f"ledger={address}").ledger == address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ragkit:hunter2@db/ragkit",
        "postgresql://ragkit:hunter2/?@db/ragkit",
        "postgresql://ragkit:@hunter2@db/ragkit",
        "postgresql://db/ragkit?user=ragkit&password=hunter2",
        "postgresql://db/ragkit?pass%77ord=hunter2",
        "postgresql://ragkit:${PW}@db/ragkit",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ConfigError, match=r"set costs\.ledger_password") as caught:
        costs_of(f"ledger={address}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["mysql://ragkit:hunter2@db/ragkit", "postgresql://db/rag kit", "3", "[a, b]", "''"])
def test_what_is_no_ledger_is_told_what_one_is(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"\.ragkit/ledger\.sqlite, or postgresql://") as caught:
        costs_of(f"ledger={wrong}")
    assert "hunter2" not in str(caught.value)


def test_neither_the_password_nor_the_user_is_shown() -> None:
    config = load_config(
        None, ["costs.ledger=postgresql://ann@db/ragkit", "costs.ledger_password=${PW}"], environ={"PW": "hunter2"}
    ).config
    assert config.costs.ledger_password is not None
    assert config.costs.ledger_password.get_secret_value() == "hunter2"
    shown = resolved_yaml(config) + repr(config)
    assert "hunter2" not in shown
    assert "ledger: postgresql://**********@db/ragkit" in shown
