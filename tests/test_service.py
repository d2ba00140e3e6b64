"""Addresses and keys of services: checked once, and never shown whole."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from ragkit.errors import ConfigError
from ragkit.service import checked_key, endpoint, http_address, quoted, shown_url

SECRET = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "http://",
        "http://localhost:abc/v1",
        "http://[::1/v1",
        "http://localhost:99999",
        "ftp://a/b",
        "http://a..b/v1",
        "http://a\x00b/v1",
        "http://exa mple/v1",
        f"user:{SECRET}@host/v1",
        f"http://user:{SECRET}@host:abc/v1",
    ],
)
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"this is no http or https address; write it like") as caught:
        http_address(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1/", "https://[::1]:8000/v1", "https://me:pw@host/v1?a=b"])
def test_addresses(url: str) -> None:
    assert http_address(url) == url.rstrip("/")


def test_a_query_stays_behind_the_path() -> None:
    assert endpoint("https://host/v1/?tenant=a", "/embeddings") == "https://host/v1/embeddings?tenant=a"


def test_keys_that_no_header_can_carry() -> None:
    assert checked_key(None, "x") == ""
    assert checked_key(SecretStr(f" {SECRET}\n"), "x") == SECRET
    with pytest.raises(ConfigError, match=r"generation\.api_key has characters") as caught:
        checked_key(SecretStr(f"{SECRET}\nx"), "generation.api_key")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@host/v1?key={SECRET}", f"me:{SECRET}@host:1/v1", f"http://x:{SECRET}@[h/v1"]
)
def test_what_is_shown_of_an_address_has_no_secret(url: str) -> None:
    assert SECRET not in shown_url(url)


def test_a_key_at_the_edge_of_what_is_quoted_does_not_show_its_beginning() -> None:
    for before in range(260, 320):
        said = quoted(f"{'x' * before} {SECRET} and more", SECRET)
        assert SECRET[:6] not in said
        assert "sk-" not in quoted(f"{'x' * before} {SECRET} and more")
