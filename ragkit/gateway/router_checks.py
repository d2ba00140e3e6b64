"""What can be known before a fit asks any endpoint: recording costs money, and an error after it comes too late."""

from __future__ import annotations

from ragkit.config.routing import Endpoint
from ragkit.config.schema import Config
from ragkit.errors import ConfigError
from ragkit.evaluate.suite import LoadedSuite
from ragkit.gateway.prices import price_of
from ragkit.gateway.router_fit import check_documents
from ragkit.types import Usage


def check(loaded: LoadedSuite, config: Config) -> None:
    """Whether a cascade of the config's endpoints can be fitted to the suite.

    Raises ConfigError for fewer than two endpoints, fewer tries than endpoints, a model without a price, and no
    labelled answers to fit to; RagkitError where those are about too few documents.
    """
    routing = config.routing
    if len(routing.endpoints) < 2:
        raise ConfigError("routing.endpoints has fewer than two", mend="name a cheap endpoint and a dear one")
    if short := routing.too_few_tries(routing.endpoints[:-1]):
        raise ConfigError(f"routing.{short}")
    for endpoint in routing.endpoints:
        _check_price(endpoint, config)
    _check_last_costs(routing.endpoints[-1], config)
    # What cannot be answered is labelled too: the refusal is right.
    labelled = [case for case in loaded.cases if case.id in loaded.tuning and (case.answers or not case.answerable)]
    if not labelled:
        raise ConfigError(
            f"no question of {loaded.path} that may be tuned on has labelled answers",
            mend="add `answers` to questions of a set with part: tuning",
        )
    check_documents(len({case.cluster for case in labelled}))


def _check_price(endpoint: Endpoint, config: Config) -> None:
    generation = endpoint.over(config.generation)
    if generation.backend != "openai" or generation.api_version is not None:
        return  # by the second; and a deployment of Azure answers with the name of its model, which has the price
    model = generation.model or ""
    if price_of(model, Usage(1, 1), config.costs.prices, generation.base_url) is None:
        raise ConfigError(
            f"what {endpoint.name} costs is not known", mend=f"write the price of {model} under costs.prices"
        )


def _check_last_costs(endpoint: Endpoint, config: Config) -> None:
    generation, costs = endpoint.over(config.generation), config.costs
    if generation.backend == "openai" or generation.model in costs.prices or costs.machine_usd_per_hour:
        return
    raise ConfigError(
        f"{endpoint.name}, the last endpoint, costs nothing, so a cascade could save nothing",
        mend="write the price of its model under costs.prices, or set costs.machine_usd_per_hour",
    )
