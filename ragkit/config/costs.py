"""Section `costs` of the configuration: prices, budgets, and where costs are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from ragkit.config.ledger_place import LedgerPlace
from ragkit.config.part import Part, runtime


class Price(Part):
    """US dollars for a million tokens, and for each call."""

    input: float = Field(default=0.0, ge=0)
    cached_input: Annotated[float, Field(ge=0)] | None = None
    """Input that a prompt cache served; null takes input."""
    output: float = Field(default=0.0, ge=0)
    call: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _cached_is_no_dearer(self) -> Price:
        if self.cached_input is not None and self.cached_input > self.input:
            raise ValueError("cached_input is dearer than input")
        return self


class Budget(Part):
    """The most that calls may cost in a period. Left out, tenant and key mean everybody together; "*" means each."""

    tenant: str | None = None
    key: str | None = None
    per: Literal["day", "month", "total"] = "month"
    """Days and months are those of UTC."""
    usd: float = Field(ge=0, le=1_000_000)


class Costs(Part):
    prices: dict[str, Price] = runtime(
        {},
        description="Prices by model name, in US dollars for a million tokens (input, cached_input, output) and for a"
        " call (call); they go before the table of genai-prices.",
    )
    machine_usd_per_hour: float = runtime(
        0.0, ge=0, description="What an hour of this machine costs; models on it are charged by the second."
    )
    ledger: LedgerPlace | None = runtime(
        None,
        description="What keeps the cost lines of every answer; budgets need it. A SQLite file, or a PostgreSQL"
        " database that several servers share: postgresql://user@host/database.",
    )
    ledger_password: SecretStr | None = runtime(
        None, strict=False, description="postgresql: password; use ${POSTGRES_PASSWORD}."
    )
    budgets: list[Budget] = runtime([], description="What calls may cost; the most that a call can cost is reserved.")
    over_budget: Literal["refuse", "extractive"] = runtime(
        "refuse", description="Of a call that a budget does not allow: an error, or sentences of the documents instead."
    )
    batch_share: float = runtime(
        0.5, ge=0, le=1, description="What a token costs in a provider's batch, as a share of its ordinary price."
    )
    allow_unpriced: bool = runtime(False, description="Let calls without a known price through a budget, uncounted.")

    @model_validator(mode="after")
    def _budgets_need_a_ledger(self) -> Costs:
        if self.budgets and self.ledger is None:
            raise ValueError("budgets need a ledger; set costs.ledger to a file, such as .ragkit/ledger.sqlite")
        return self
