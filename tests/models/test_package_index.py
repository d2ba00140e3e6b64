"""Package indexes that answer nonsense, settings that name none, and that nothing secret of either is shown."""

from __future__ import annotations

import json

import pytest

from ragkit.errors import RagkitError
from ragkit.models.resolve import resolve
from tests.models.conftest import WEIGHTS, Index

KETTLE = "kettle_model-1.0-py3-none-any.whl"
SECRET = "pw-0123456789"


def refused(name: str = "kettle") -> str:
    with pytest.raises(RagkitError) as caught:
        resolve(name)
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


@pytest.mark.parametrize(
    "page",
    [
        b"<html><a href='x'>kettle</a>",
        b"",
        b"null",
        b"[]",
        b'"files"',
        b"{}",
        b'{"files": null}',
        b'{"files": {"filename": "x"}}',
        b'{"files": 3}',
        b"\xff\xfe{",
        b"[" * 100_000,
    ],
)
def test_what_is_no_index_page_is_one_line(index: Index, page: bytes) -> None:
    index.page = page
    assert "/simple/kettle-model is no index page in JSON (PEP 691)" in refused()


@pytest.mark.parametrize("files", [[], ["x", 3, None, []], [{}], [{"filename": None}], [{"filename": [KETTLE]}]])
def test_entries_that_are_none_are_passed_over(index: Index, files: list[object]) -> None:
    index.page = json.dumps({"files": files}).encode()
    assert "has no wheel of kettle-model 1.0" in refused()


@pytest.mark.parametrize(
    "name", [KETTLE.replace("any", "a\0ny"), KETTLE.replace("any", "../any"), KETTLE.replace("any", "\ud800")]
)
def test_a_file_name_that_no_wheel_has_is_passed_over(index: Index, name: str) -> None:
    index.page = json.dumps({"files": [{"filename": name, "url": "x", "size": 1}]}).encode()
    assert "has no wheel of kettle-model 1.0" in refused()


@pytest.mark.parametrize(
    "url",
    [
        None,
        3,
        "file:///etc/passwd",
        "ftp://host/x",
        "data:,x",
        "javascript:x",
        "http://[::1/x",
        f"http://me:{SECRET}@host:port/x",
        "http://a..b/x",
        "../x\0y",
    ],
)
def test_an_address_of_a_wheel_that_is_none_is_one_line(index: Index, url: object) -> None:
    index.page = json.dumps({"files": [{"filename": KETTLE, "url": url}]}).encode()
    assert f"the package index gives no http or https address for {KETTLE}" in refused()


@pytest.mark.parametrize("size", [-1, 0, "6000000", 1.5, True, None, [], {"bytes": 3}])
@pytest.mark.parametrize("hashes", [None, [], {"sha256": None}, {"sha256": 3}, {"md5": "x"}])
def test_sizes_and_hashes_that_are_none_count_as_not_given(index: Index, size: object, hashes: object) -> None:
    entry = {"filename": KETTLE, "url": f"../../files/{KETTLE}", "size": size, "hashes": hashes}
    index.page = json.dumps({"files": [entry]}).encode()
    assert resolve("kettle").weights.read_bytes() == WEIGHTS  # the hashes of the catalogue decide
    assert "gives no sha256" in refused("pypi:kettle-model==1.0")


def test_entries_of_other_versions_may_say_anything(index: Index) -> None:
    good = {"filename": KETTLE, "url": f"../../files/{KETTLE}", "hashes": {"sha256": index.listed_sha256[KETTLE]}}
    bad = {"filename": KETTLE.replace("1.0", "0.9"), "url": "http://[", "hashes": 3, "size": "many"}
    index.page = json.dumps({"files": [bad, good]}).encode()
    assert resolve("pypi:kettle-model==1.0").downloaded == len(index.wheels[KETTLE])


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@host:port/simple",
        f"https://me:{SECRET}@[host/simple",
        f"https://me:{SECRET[:3]}/{SECRET}@host/simple",
        f"https://me:{SECRET}@../simple",
        f"https://me:{SECRET}@ho\tst/simple",
        f"me:{SECRET}@host/simple",
        f"ftp://me:{SECRET}@host/simple",
    ],
)
def test_an_address_of_the_index_that_is_none_is_one_line_without_it(
    index: Index, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    del index
    monkeypatch.setenv("PIP_INDEX_URL", url)
    line = refused()
    assert "what PIP_INDEX_URL or pip's config names is no http or https address" in line
    assert SECRET[:5] not in line


@pytest.mark.parametrize("status", ["no wheel", "a page that is none", "no answer"])
def test_user_password_and_token_of_an_index_are_not_shown(
    index: Index, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    host = index.url.removeprefix("http://") if status != "no answer" else "127.0.0.1:9/simple"
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:{SECRET}@{host}?token={SECRET}")
    index.page = b'{"files": []}' if status == "no wheel" else b"{}"
    assert f"http://{host}" in refused()


def test_the_signature_of_the_address_of_a_wheel_is_not_shown(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.models.download.time.sleep", lambda _seconds: None)  # pyright: ignore
    host = index.url.removesuffix("/simple").removeprefix("http://")
    for place in (f"http://me:{SECRET}@{host}/nothing", "http://127.0.0.1:9/x"):
        entry = {"filename": KETTLE, "url": f"{place}?X-Amz-Signature={SECRET}&x=1"}
        index.page = json.dumps({"files": [entry]}).encode()
        assert place.replace(f"me:{SECRET}@", "") in refused()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", f"http://me:{SECRET}@host:port", "the proxy that the environment names is no address"),
        ("HTTP_PROXY", f"gopher://me:{SECRET}@host", "the proxy that the environment names is no address"),
        ("HTTP_PROXY", f"http://me:{SECRET}@[host", "does not answer by way of a proxy"),
        ("HTTP_PROXY", f"http://me:{SECRET}@127.0.0.1:9", "does not answer by way of a proxy"),
        ("HTTP_PROXY", f"http://me:{SECRET}@..", "does not answer by way of a proxy"),
        ("PIP_CERT", "/nowhere.pem", "cannot read the certificates at /nowhere.pem"),
        ("PIP_CERT", "/etc/passwd", "cannot read the certificates at /etc/passwd"),
    ],
)
def test_proxies_and_certificates_that_cannot_be_used_are_one_line(
    index: Index, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("127.0.0.1", "index.example"))
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv(variable.lower(), value)
    assert said in refused()


def test_a_host_that_no_proxy_is_asked_for_is_not_said_to_be_behind_one(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    del index
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "http://127.0.0.1:9/simple does not answer (" in refused()
