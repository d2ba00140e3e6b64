"""A real HTTP server on this machine that speaks chat completions and fails as real ones do, on command.

It runs in its own thread with its own event loop and counts what reaches it, so that tests can say what a client did
from the other side.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle
from random import Random
from typing import Literal, Self

Fault = Literal["ok", "429", "500", "401", "400", "hang", "cut", "cut_late", "broken", "empty", "slow"]

TEXT = "It lasts 10 hours [Source: a.pdf, page 3]."
WORDS = ("It lasts ", "10 hours ", "[Source: a.pdf, page 3].")
USAGE = {"prompt_tokens": 120, "completion_tokens": 7}


class FaultServer:
    """`plan` says what each request meets, in turn or `by_chance`; use it as a context manager.

    `calls` counts requests by what they met, `open` those under way, `most_open` the most there were at once.
    """

    def __init__(
        self,
        plan: Iterable[Fault] = ("ok",),
        *,
        model: str = "served",
        retry_after: str | None = None,
        pause_s: float = 0.0,
        says: tuple[str, ...] = WORDS,
        by_chance: bool = False,
    ) -> None:
        self._plan = _drawn(list(plan)) if by_chance else cycle(plan)
        self.model, self.retry_after, self.pause_s, self.says = model, retry_after, pause_s, says
        self.calls: Counter[str] = Counter()
        self.open = 0
        self.most_open = 0
        self.times: list[float] = []
        self.refused_at: list[float] = []
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def asked(self) -> int:
        return sum(self.calls.values())

    def meets(self, plan: Iterable[Fault]) -> None:
        """What requests meet from now on."""
        self._plan = cycle(plan)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                while await self._answered(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open for another."""
        head = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        body = json.loads(await reader.readexactly(int(headers.get(b"content-length", b"0"))) or b"{}")
        if not head.startswith(b"POST"):
            _send(writer, 404, {"detail": "Not Found"})
            return True
        fault = next(self._plan)
        self.calls[fault] += 1
        self.times.append(self._loop.time())
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self._met(fault, bool(body.get("stream")), reader, writer)
        finally:
            self.open -= 1

    async def _met(self, fault: str, streams: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(self.pause_s)
        if fault == "slow":
            await asyncio.sleep(0.5)
        if fault in ("429", "500", "401", "400"):
            self.refused_at.append(self._loop.time())
            extra = {"Retry-After": self.retry_after} if self.retry_after and fault == "429" else {}
            _send(writer, int(fault), {"error": {"message": "no"}}, extra)
            await writer.drain()
            return True
        if fault == "hang":
            await reader.read()  # until the client goes away
            return False
        if fault == "broken":
            _send(writer, 200, b'{"choices": [{"mess')
            return True
        if fault == "empty":
            _send(writer, 200, self._completion("", "length"))
            return True
        if not streams:
            if fault in ("cut", "cut_late"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
                await writer.drain()
                return False
            _send(writer, 200, self._completion("".join(self.says), "stop"))
            await writer.drain()
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        await writer.drain()
        if fault == "cut":
            return False
        for place, word in enumerate(self.says):
            if fault == "cut_late" and place == 2:
                return False
            _event(writer, {"model": self.model, "choices": [{"delta": {"content": word}, "finish_reason": None}]})
            await writer.drain()
        nothing: dict[str, str] = {}
        _event(writer, {"model": self.model, "choices": [{"delta": nothing, "finish_reason": "stop"}]})
        _event(writer, {"model": self.model, "choices": [], "usage": USAGE})
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        return False

    def _completion(self, text: str, finish_reason: str) -> dict[str, object]:
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
        return {"model": self.model, "usage": USAGE, "choices": choices}


def _drawn(plan: list[Fault]) -> Iterator[Fault]:
    """Each of the plan as likely as any other, the same in every run."""
    chance = Random(7)
    while True:
        yield chance.choice(plan)


def _event(writer: asyncio.StreamWriter, event: object) -> None:
    writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _send(writer: asyncio.StreamWriter, status: int, body: object, extra: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
