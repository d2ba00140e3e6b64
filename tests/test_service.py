"""Addresses and keys of services: checked once, and never shown whole."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from ragkit.config.schema import Embedding, Generation, Reranking
from ragkit.embed.openai import OpenAIEmbedder
from ragkit.errors import ConfigError, ServiceError
from ragkit.evaluate.judges import JudgeSettings, make_judge
from ragkit.generate.openai import OpenAIGenerator
from ragkit.ingest.sentences import split_sentences
from ragkit.rerank.http import HttpReranker
from ragkit.service import async_http_client, checked_key, endpoint, http_address, http_client, quoted, shown_url

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


@pytest.mark.parametrize(
    "said",
    ["Basic dXNlcjpwYXNz", "{'api-key': 'dXNlcjpwYXNz'}", "x-api-key: dXNlcjpwYXNz", "password=dXNlcjpwYXNz"],
)
def test_what_looks_like_a_key_is_not_quoted(said: str) -> None:
    assert "dXNl" not in quoted(f"refused: {said}")


@pytest.mark.parametrize("proxy", [f"http://me:{SECRET}@host:port", f"http://me:{SECRET[:8]}/x@host", "gopher://host"])
def test_a_proxy_that_is_none_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    embedding = Embedding(backend="openai", model="m", base_url="http://service.example/v1")
    reranking = Reranking(backend="http", base_url="http://service.example/v1")
    generation = Generation(backend="openai", model="m", base_url="http://service.example/v1")
    judge = JudgeSettings(kind="llm", model="m", base_url="http://service.example/v1")
    for make in (
        http_client,
        async_http_client,
        lambda: OpenAIEmbedder(embedding),
        lambda: HttpReranker(reranking),
        lambda: OpenAIGenerator(generation, split_sentences),
        lambda: make_judge(judge, embedding),
    ):
        with pytest.raises(ConfigError, match="the proxy that the environment names is no address of one") as caught:
            make()
        assert SECRET[:6] not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("proxy", [f"http://me:{SECRET}@127.0.0.1:9", f"http://me:{SECRET}@.."])
def test_a_proxy_that_refuses_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, proxy)
    reranking = Reranking(backend="http", base_url="http://service.example/v1")
    embedding = Embedding(backend="openai", model="m", base_url="http://service.example/v1")
    for ask in (
        lambda: HttpReranker(reranking).scores("q", ["text"]),
        lambda: OpenAIEmbedder(embedding).embed_question("q"),
    ):
        with pytest.raises(ServiceError) as caught:
            ask()
        assert SECRET[:6] not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET[:4]}/{SECRET}@host/v1",
        f"https://me:{SECRET[:4]}?{SECRET}@host/v1",
        f"https://me:12#{SECRET}@host/v1",
        f"https:/me:{SECRET}@host/v1",
        f"me:{SECRET}@host//v1",
    ],
)
def test_of_an_address_that_may_hold_a_password_elsewhere_nothing_is_shown(url: str) -> None:
    assert shown_url(url) == "the address"
    assert SECRET not in quoted(f"no answer from '{url}'")


def test_addresses_that_a_client_quotes_lose_what_is_secret() -> None:
    said = quoted(f"403 for url 'https://me:pw@host/weights?X-Amz-Signature={SECRET}&a=1' (see https://docs.example/x)")
    assert said == "403 for url 'https://host/weights' (see https://docs.example/x)"
