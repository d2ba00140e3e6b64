"""What the tokens of a call cost: by the config's own prices, else by the table of genai-prices.

The table is part of that package (no network) and knows prices by provider; a model at an address that is no known
provider has no price, whatever it is called. No price is None and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from ragkit.config.costs import Price
from ragkit.service import OPENAI_URL
from ragkit.types import Usage

_MILLION = Decimal(1_000_000)
_NANO = Decimal(1_000_000_000)


def price_of(model: str, usage: Usage, prices: Mapping[str, Price], base_url: str | None = None) -> int | None:
    """The price of one call in integer nano-dollars, None if it is not known.

    `usage.input_tokens` includes the cached ones. `prices` is the config's `costs.prices` and goes first. `base_url` is
    the address of the API, None for OpenAI's own.

    >>> price_of("gpt-4o-mini", Usage(input_tokens=1000, output_tokens=100, cached_tokens=200), {})
    195000
    >>> price_of("gpt-4o-mini", Usage(input_tokens=1000), {}, "http://localhost:8000/v1") is None
    True
    >>> price_of("my-model", Usage(1000, 100), {"my-model": Price(input=0.2, output=0.4)}, "http://localhost:8000/v1")
    240000
    """
    usage = _plausible(usage)
    own = prices.get(model)
    dollars = _by_config(own, usage) if own is not None else _by_table(model, usage, base_url or OPENAI_URL)
    return None if dollars is None else nano(dollars)


def _plausible(usage: Usage) -> Usage:
    """Counts as a server may send them, made possible: none below 0, and no more cached tokens than there are."""
    sent, written = max(0, usage.input_tokens), max(0, usage.output_tokens)
    return Usage(sent, written, min(sent, max(0, usage.cached_tokens)))


def nano(dollars: Decimal) -> int:
    """Dollars as integer nano-dollars, half a nano-dollar rounded up.

    >>> nano(Decimal("0.0000000015"))
    2
    """
    return int((dollars * _NANO).to_integral_value(ROUND_HALF_UP))


def _by_config(price: Price, usage: Usage) -> Decimal:
    rate, output = _exact(price.input), _exact(price.output)
    cached = rate if price.cached_input is None else _exact(price.cached_input)
    fresh = max(0, usage.input_tokens - usage.cached_tokens)
    tokens = fresh * rate + usage.cached_tokens * cached + usage.output_tokens * output
    return tokens / _MILLION + _exact(price.call)


def _exact(rate: float) -> Decimal:
    # As it was written: 0.1 is a tenth, not the binary fraction next to it.
    return Decimal(str(rate))


def _by_table(model: str, usage: Usage, base_url: str) -> Decimal | None:
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens, cache_read_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
    )
    try:
        return genai_prices.calc_price(counted, model, provider_api_url=base_url).total_price
    except LookupError:
        return None
