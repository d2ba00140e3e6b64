"""The way of a question through cache and budget: what is opened for it, and when its time begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from ragkit import Config, Ragkit
from ragkit.gateway.cache import Question
from ragkit.gateway.deadline import Deadline
from tests.serve.serving import KETTLE, service, settings_in

pytestmark = pytest.mark.integration


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Ragkit]:
    """A system with a ledger, a cache and an endpoint, over one document."""
    with service() as (url, _):
        model = {"name": "one", "backend": "openai", "model": "m", "base_url": url}
        settings = settings_in(
            tmp_path,
            url,
            routing={"policy": "single", "endpoints": [model]},
            costs={"ledger": str(tmp_path / "ledger.sqlite")},
            cache={"mode": "exact", "path": str(tmp_path / "cache.sqlite")},
        )
        (tmp_path / "kettle.md").write_bytes(KETTLE)
        with Ragkit(Config.model_validate(settings, strict=False)) as rag:
            rag.index([tmp_path / "kettle.md"])
            yield rag


def open_files() -> list[str]:
    """Names of the files that this process has open."""
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def test_the_time_of_a_question_begins_when_it_is_asked(rag: Ragkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when a thread is free that opens the index for it."""
    began: list[float] = []
    after = Deadline.after

    def noted(seconds: float) -> Deadline:
        began.append(time.monotonic())
        return after(seconds)

    monkeypatch.setattr(Deadline, "after", noted)

    async def asked() -> float:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, time.sleep, 0.5)
        at = time.monotonic()
        await rag.aask("How much water does the kettle hold?")
        await busy
        return began[0] - at

    assert asyncio.run(asked()) < 0.4


def test_a_look_at_the_cache_opens_no_ledger(rag: Ragkit, tmp_path: Path) -> None:
    assert rag.explain_cache(Question("How much water does the kettle hold?", (), "", None, "")) == []
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_stream_that_is_read_after_the_system_was_closed_leaves_no_file_open(rag: Ragkit, tmp_path: Path) -> None:
    stream = rag.stream("How much water does the kettle hold?")
    rag.close()
    assert list(stream)
    rag.close()
    assert not [name for name in open_files() if name.startswith(str(tmp_path / "ledger"))]
