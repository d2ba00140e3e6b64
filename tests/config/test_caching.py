"""Where answers are kept: which addresses of Redis there are, and that no password is shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import load_config
from ragkit.config.caching import redis_address
from ragkit.config.schema import Config
from ragkit.config.show import resolved_yaml
from ragkit.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://localhost",
        "rediss://cache.example:6380/2",
        "redis://ragkit@cache.example/0",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=3",
    ],
)
def test_addresses_of_redis(url: str) -> None:
    assert redis_address(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost:6379",
        "redis://",
        "redis://localhost:port",
        "redis://localhost:99999",
        "redis://[::1",
        "redis://localhost?decode_responses=True",
        "unix://",
    ],
)
def test_what_is_no_address_of_redis(url: str) -> None:
    with pytest.raises(ValueError, match="this is no address of Redis"):
        redis_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame@localhost/0",
        "redis://me:sesame@localhost/0",
        "unix:///run/redis.sock?password=sesame",
        "redis://localhost/0?db=0&password=sesame",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"set cache\.password") as refused:
        load_config(None, [f"cache.url={url}"], environ={})
    assert "sesame" not in str(refused.value)


@given(st.text())
def test_any_text_is_an_address_or_refused_in_words(url: str) -> None:
    with suppress(ValueError):
        assert redis_address(url) == url


def test_the_password_comes_from_the_environment_and_is_not_shown() -> None:
    sets = ["cache.store=redis", "cache.url=redis://localhost/0", "cache.password=${REDIS_PASSWORD}"]
    config = load_config(None, sets, environ={"REDIS_PASSWORD": "sesame"}).config
    assert config.cache.password is not None
    assert config.cache.password.get_secret_value() == "sesame"
    assert "sesame" not in repr(config)
    assert "sesame" not in resolved_yaml(config)


def test_redis_needs_an_address() -> None:
    with pytest.raises(ConfigError, match="store redis needs url"):
        load_config(None, ["cache.store=redis"], environ={})


@pytest.mark.parametrize("prefix", ["", "a:b", "a b", "*", "x" * 65])
def test_a_prefix_is_one_plain_word(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Config.model_validate({"cache": {"prefix": prefix}})


@pytest.mark.parametrize("bound", [0, 0.51, -1, "x"])
def test_a_bound_is_a_share_of_at_most_a_half(bound: object) -> None:
    with pytest.raises(ValueError, match="max_false_hits"):
        Config.model_validate({"cache": {"max_false_hits": bound}})
