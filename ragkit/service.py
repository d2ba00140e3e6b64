"""What the clients of HTTP services share: addresses, keys, and what may be said of both in an error."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ragkit.errors import ConfigError

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

OPENAI_URL = "https://api.openai.com/v1"
MASK = "***"
_LONGEST_DETAIL = 300
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"<>)\]]+")
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|key|gsk|hf)[-_][\w*.-]{4,}"
    r"|(?i:(?:bearer|basic)\s+)\S+"
    r"|(?i:(?<=key)|(?<=token)|(?<=secret)|(?<=password))['\"]?\s*[:=]\s*['\"]?[^\s'\",;]{4,}"
)


def http_address(url: str) -> str:
    """The address without a slash at its end.

    Raises ValueError, without the address, when it is none of http or https with a host.

    >>> http_address("http://localhost:8000/v1/")
    'http://localhost:8000/v1'
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
        whole = whole and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, a bracket that is not closed, a name that is none
        whole = False
    if not whole:
        raise ValueError("this is no http or https address; write it like http://localhost:8000/v1")
    return url.rstrip("/")


def checked_key(secret: SecretStr | None, name: str) -> str:
    """The key, "" without one. Raises ConfigError when no HTTP header can carry it."""
    key = secret.get_secret_value().strip() if secret else ""
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name} has characters that no key has", mend="copy the key again")
    return key


def needs_key(url: str | None, api_version: str | None = None) -> bool:
    """Whether who answers at the address of an OpenAI-compatible API, None for OpenAI's own, asks everybody for a key.

    >>> needs_key(None), needs_key("http://localhost:8000/v1"), needs_key("https://x.openai.azure.com", "2024-10-21")
    (True, False, True)
    """
    return api_version is not None or urlsplit(url or OPENAI_URL).hostname == urlsplit(OPENAI_URL).hostname


def http_client(**settings: Any) -> httpx.Client:
    """A client with these settings that goes by the proxies and certificates of the environment.

    Raises ConfigError, without the address of the proxy, when these cannot be used.
    """
    import httpx

    with _usable_environment():
        return httpx.Client(**settings)


def async_http_client(**settings: Any) -> httpx.AsyncClient:
    """`http_client` for an event loop."""
    import httpx

    with _usable_environment():
        return httpx.AsyncClient(**settings)


@contextmanager
def _usable_environment() -> Generator[None]:
    import httpx

    try:
        yield
    except ImportError as error:
        raise ConfigError("a SOCKS proxy needs a package more", mend="pip install 'httpx[socks]'") from error
    except OSError as error:
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        raise ConfigError(
            f"cannot read the certificates at {named}: {error.strerror}", mend="mend SSL_CERT_FILE or SSL_CERT_DIR"
        ) from error
    except (httpx.InvalidURL, ValueError):
        # Not chained: the error says parts of the address, which may be those of a password.
        raise ConfigError(
            "the proxy that the environment names is no address of one",
            mend="mend HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; write it like http://host:3128",
        ) from None


def endpoint(url: str, path: str) -> str:
    """The address of a part of an API; what stands behind a question mark stays there.

    >>> endpoint("http://localhost/v1?tenant=a", "/rerank")
    'http://localhost/v1/rerank?tenant=a'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def shown_url(url: str) -> str:
    """The address without user, password and query; of one that may hold a password elsewhere nothing.

    >>> shown_url("https://user:secret@llm.example:8443/v1?key=1")
    'https://llm.example:8443/v1'
    >>> shown_url("https://user:sec/ret@llm.example/v1")
    'the address'
    """
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "the address"
    if "@" in parts.path + parts.query + parts.fragment:  # a password with / or ? or # in it ends the host's part early
        return "the address"
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def quoted(text: str, secret: str = "") -> str:
    """What a server or a client of one said, on one line, without keys and what is secret in addresses, shortened.

    >>> quoted("no access for Bearer abc123,\\n sorry.")
    'no access for *** sorry'
    >>> quoted("404 for url: https://host/weights?Signature=abc")
    '404 for url: https://host/weights'
    """
    said = text.replace(secret, MASK) if secret else text
    said = _ADDRESS.sub(lambda found: shown_url(found[0]), said)
    said = "".join(letter if letter.isprintable() else " " for letter in said)  # no orders to a terminal
    return " ".join(_KEY_LIKE.sub(MASK, said).split())[:_LONGEST_DETAIL].rstrip(".")
