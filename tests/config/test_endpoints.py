"""Endpoints in a config file: what they take over, what they never take over, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ragkit.config import load_config
from ragkit.config.routing import Endpoint
from ragkit.config.schema import Config, Generation
from ragkit.config.show import resolved_yaml
from ragkit.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ragkit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


ROUTED = """
generation: {backend: openai, model: m, max_tokens: 99}
routing:
  endpoints:
    - {name: here, base_url: "http://here/v1"}
    - {name: there, model: other, api_key: "12345"}
"""


def test_an_endpoint_has_its_own_keys_and_else_those_of_generation(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, ROUTED)).config
    here, there = (each.over(config.generation) for each in config.routing.endpoints)
    assert (here.model, here.max_tokens, here.base_url) == ("m", 99, "http://here/v1")
    assert (there.model, there.max_tokens, there.base_url) == ("other", 99, None)


def test_no_key_goes_to_an_address_that_it_is_not_for() -> None:
    azure = {"base_url": "http://azure/v1", "api_key": SecretStr("secret"), "api_version": "2024"}
    generation = Generation.model_validate({"backend": "openai", "model": "m", **azure})
    same = Endpoint(name="a", model="other").over(generation)
    assert (same.base_url, same.api_key, same.api_version) == ("http://azure/v1", SecretStr("secret"), "2024")
    elsewhere = Endpoint(name="b", base_url="http://b/v1").over(generation)
    assert (elsewhere.base_url, elsewhere.api_key, elsewhere.api_version) == ("http://b/v1", None, None)
    with_its_own_key = Endpoint(name="c", api_key=SecretStr("c")).over(generation)
    assert (with_its_own_key.base_url, with_its_own_key.api_key) == ("http://azure/v1", SecretStr("c"))


def test_the_key_of_an_endpoint_is_text_and_is_never_shown(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, ROUTED.replace('"12345"', "12345"))).config
    assert config.routing.endpoints[1].api_key == SecretStr("12345")
    assert "12345" not in resolved_yaml(config)
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, ROUTED.replace('"12345"', "[12345]")))
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routing: {endpoints: [{name: a}, {name: a}]}", "two endpoints are called a"),
        ("routing: {endpoints: [{name: a, backend: openai}]}", "a: backend openai needs model"),
        ("routing: {endpoints: [{name: a, wieght: 2}]}", "weight"),
        ("routing: {endpoints: [{name: a}], rules: [{endpoints: [b]}]}", "a rule names b, which is none"),
        ("routing: {endpoints: [{name: a}], policy: rules}", "policy rules needs rules"),
        (
            "routing: {endpoints: [{name: a}, {name: b}, {name: c}], policy: cascade, paid_attempts: 2,"
            " cascade: {scores: {a: {}, b: {}}}}",
            "paid_attempts is 2, which the 2 cheap endpoints of the cascade use up",
        ),
        ("routing: {endpoints: [{name: a}], policy: tasks}", "policy tasks needs tasks"),
        ("routing: {endpoints: [{name: a}], tasks: {code: {best: a, economical: b}}}", "b, which is none of endpoints"),
        ("routing: {endpoints: [{name: a}], tasks: {poetry: {best: a, economical: a}}}", "poetry"),
        ("routing: {endpoints: [{name: a}], policy: cascade}", "policy cascade needs two endpoints"),
        ("routing: {endpoints: [{name: a}, {name: b}], cascade: {scores: {c: {}}}}", "c, which is none of endpoints"),
        ("routing: {endpoints: [{name: a}, {name: b}], cascade: {scores: {b: {}}}}", "b, the last endpoint"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text))


def test_an_endpoint_that_writes_will_do_for_what_is_no_answer() -> None:
    hyde = {"retrieval": {"transforms": ["hyde"]}}
    writer = {"name": "a", "backend": "openai", "model": "m", "base_url": "http://a/v1"}
    assert not Config().can_write
    assert Config.model_validate({**hyde, "routing": {"endpoints": [writer]}}).can_write
    with pytest.raises(ValidationError, match="hyde needs a language model"):
        Config.model_validate({**hyde, "routing": {"endpoints": [{"name": "a"}]}})
