"""Does a server stay right, quick and small while people ask and documents change? Real processes, real requests.

    python scripts/soak.py [--minutes 20] [--documents 300] [--clients 8] [--set KEY=VALUE ...]

`ragkit serve` over configs/quickstart.yaml with the semantic cache on. Every document tells one number of one thing,
and no number is told twice, so that an answer with a number that its document tells no more is stale beyond doubt.
Clients ask (in the same words as others, in other words, streamed, through the OpenAI-compatible route), search and
send feedback. All the while one more client uploads new versions of documents, a few each minute; in the middle of the
run a tenth of all is uploaded anew at once. From the moment on when an upload is told to be done, no request that
begins later may get the number from before.

Prints counts, errors, stale answers, percentiles, and the server's memory and open files by the minute, with the growth
from after the warm-up (a fifth of the run) to the end, as medians of a fifth of the run each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from measure_server import ragkit_server, started

_LOOKS = "amber brisk coral dusky early frosty gilded hollow ivory jolly keen lunar mellow noble opal plain"
_THINGS = "anvil beacon cistern derrick easel furnace girder hopper inkwell jigsaw kiln lathe mortar nozzle oven"
ADJECTIVES, NOUNS = _LOOKS.split(), _THINGS.split()
QUESTIONS = (
    "How many litres does the {thing} hold?",
    "Can you tell me how many litres the {thing} holds?",
    "how many liters does the {thing} hold",
)
THINK_S = 0.25
"""What a client waits between two requests."""


@dataclass(slots=True)
class Thing:
    """What a document tells, the numbers that it told before, and since when each is no longer true."""

    name: str
    litres: int
    gone: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def file(self) -> str:
        return f"{self.name.replace(' ', '-')}.md"

    def text(self) -> bytes:
        return (
            f"# The {self.name}\n\nThe {self.name} holds {self.litres} litres. It stands in hall {len(self.name)}.\n"
        ).encode()


@dataclass(slots=True)
class Outcome:
    """What happened so far."""

    counts: Counter[str] = field(default_factory=Counter[str])
    errors: list[str] = field(default_factory=list[str])
    stale: list[str] = field(default_factory=list[str])
    right: int = 0
    milliseconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    memory_kb: list[tuple[float, int, int]] = field(default_factory=list[tuple[float, int, int]])


def things_of(count: int, draw: random.Random) -> list[Thing]:
    names = [f"{one} {other} {noun}" for one in ADJECTIVES for other in ADJECTIVES for noun in NOUNS if one < other]
    litres = draw.sample(range(1000, 9000), count)
    return [Thing(name, number) for name, number in zip(draw.sample(names, count), litres, strict=True)]


class Soak:
    """The clients of one run."""

    def __init__(self, address: str, things: list[Thing], seconds: float, seed: int) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=60.0)
        self.things, self.seconds, self.seed = things, seconds, seed
        self.outcome = Outcome()
        self.began = time.monotonic()
        self.unused = iter(range(10_000, 1_000_000))

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    async def client(self, number: int) -> None:
        draw = random.Random(f"{self.seed} {number}")
        while self.left > 0:
            thing = draw.choice(self.things[: 40 if draw.random() < 0.5 else None])
            work = draw.choices((self.ask, self.stream, self.chat, self.search, self.note), (50, 10, 10, 25, 5))[0]
            await self.timed(work.__name__, work(thing, draw))
            await asyncio.sleep(THINK_S * draw.random() * 2)

    async def timed(self, name: str, work: Awaitable[object]) -> None:
        began = time.perf_counter()
        try:
            await work
        except (httpx.HTTPError, KeyError, ValueError) as error:
            self.outcome.errors.append(f"{name}: {error!r:.200}")
        self.outcome.counts[name] += 1
        self.outcome.milliseconds.setdefault(name, []).append((time.perf_counter() - began) * 1e3)

    async def ask(self, thing: Thing, draw: random.Random) -> None:
        began = time.monotonic()
        told = await self.post("/v1/ask", {"question": draw.choice(QUESTIONS).format(thing=thing.name)})
        self.outcome.counts[f"cache: {told['cache']}"] += 1
        self.judge(thing, told["answer"], began)

    async def stream(self, thing: Thing, draw: random.Random) -> None:
        began = time.monotonic()
        body = {"question": QUESTIONS[0].format(thing=thing.name), "stream": True}
        response = (await self.http.post("/v1/ask", json=body)).raise_for_status()
        done = response.text.rsplit("event: done\n", 1)
        self.judge(thing, json.loads(done[1].split("data: ", 1)[1].split("\n", 1)[0])["answer"], began)

    async def chat(self, thing: Thing, draw: random.Random) -> None:
        began = time.monotonic()
        messages = [{"role": "user", "content": QUESTIONS[1].format(thing=thing.name)}]
        told = await self.post("/v1/chat/completions", {"model": "ragkit", "messages": messages})
        self.judge(thing, told["choices"][0]["message"]["content"], began)

    async def search(self, thing: Thing, draw: random.Random) -> None:
        began = time.monotonic()
        found = await self.post("/v1/search", {"question": QUESTIONS[0].format(thing=thing.name), "top_k": 3})
        self.judge(thing, " ".join(each["text"] for each in found["passages"]), began)

    async def note(self, thing: Thing, draw: random.Random) -> None:
        told = await self.post("/v1/ask", {"question": QUESTIONS[0].format(thing=thing.name)})
        await self.post("/v1/feedback", {"trace_id": told["trace_id"], "verdict": draw.choice(["up", "down"])})

    async def post(self, path: str, body: object) -> dict[str, Any]:
        return (await self.http.post(path, json=body)).raise_for_status().json()

    def judge(self, thing: Thing, text: str, began: float) -> None:
        self.outcome.right += str(thing.litres) in text
        for litres, since in thing.gone.items():
            if str(litres) in text and since < began:
                self.outcome.stale.append(f"{thing.name}: {litres} after {began - since:.1f} s, now {thing.litres}")

    async def change(self, thing: Thing) -> None:
        """Upload a new version, and wait until it is told to be searchable."""
        before, thing.litres = thing.litres, next(self.unused)
        sent = await self.http.post("/v1/documents", files={"file": (thing.file, thing.text())})
        identity = sent.raise_for_status().json()["id"]
        while True:
            state = (await self.http.get(f"/v1/uploads/{identity}")).raise_for_status().json()
            if state["state"] not in ("queued", "indexing"):
                break
            await asyncio.sleep(0.1)
        if state["state"] != "done":
            self.outcome.errors.append(f"upload of {thing.file}: {state!r:.200}")
        thing.gone[before] = time.monotonic()

    async def changes(self) -> None:
        draw = random.Random(self.seed)
        halfway = False
        while self.left > 0:
            await asyncio.sleep(15)
            if not halfway and self.left < self.seconds / 2:
                halfway = True
                anew = draw.sample(self.things, len(self.things) // 10)
                await self.timed("a tenth anew", asyncio.gather(*(self.change(thing) for thing in anew)))
            else:
                await self.timed("change", self.change(draw.choice(self.things)))

    async def watch(self, pid: int) -> None:
        while self.left > 0:
            status = Path(f"/proc/{pid}/status").read_text()
            kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
            handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            self.outcome.memory_kb.append((time.monotonic() - self.began, kb, handles))
            await asyncio.sleep(2)

    async def run(self, pid: int, clients: int) -> Outcome:
        for start in range(0, len(self.things), 20):
            await asyncio.gather(*(self.first(thing) for thing in self.things[start : start + 20]))
        self.began = time.monotonic()
        await asyncio.gather(self.watch(pid), self.changes(), *(self.client(number) for number in range(clients)))
        await self.http.aclose()
        return self.outcome

    async def first(self, thing: Thing) -> None:
        sent = await self.http.post("/v1/documents", files={"file": (thing.file, thing.text())})
        identity = sent.raise_for_status().json()["id"]
        while (await self.http.get(f"/v1/uploads/{identity}")).json()["state"] in ("queued", "indexing"):
            await asyncio.sleep(0.1)


def told(outcome: Outcome, seconds: float) -> None:
    print(f"{seconds / 60:.0f} minutes; {', '.join(f'{name} {n}' for name, n in sorted(outcome.counts.items()))}")
    print(f"errors {len(outcome.errors)}, stale {len(outcome.stale)}, answers with the right number {outcome.right}")
    for line in (*outcome.errors[:10], *outcome.stale[:10]):
        print(f"  {line}")
    for name, each in sorted(outcome.milliseconds.items()):
        cuts = statistics.quantiles(each, n=100) if len(each) > 1 else each * 99
        print(f"{name}: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f}, p99 {cuts[98]:.0f}")
    fifth = seconds / 5
    first = [row for row in outcome.memory_kb if fifth <= row[0] < 2 * fifth]
    last = [row for row in outcome.memory_kb if row[0] >= 4 * fifth]
    before, after = (statistics.median(kb for _, kb, _ in rows) for rows in (first, last))
    print(f"memory (anonymous) {before / 1024:.1f} MB, then {after / 1024:.1f} MB: {after / before - 1:+.1%}")
    print(f"open files {first[-1][2]}, then {last[-1][2]}")
    for minute in range(int(seconds // 60)):
        kb = [each for at, each, _ in outcome.memory_kb if minute * 60 <= at < (minute + 1) * 60]
        if kb:
            print(f"  minute {minute + 1}: {statistics.median(kb) / 1024:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    draw = random.Random(7)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sets = [
            f"ingestion.store.path={folder}/index",
            f"serve.folder={folder}/serve",
            f"cache.path={folder}/cache.sqlite",
            "cache.mode=semantic",
            "serve.requests_per_minute=1000000",
            *given.set,
        ]
        with started(ragkit_server(folder, sets), folder / "log") as (server, address):
            soak = Soak(address, things_of(given.documents, draw), given.minutes * 60, seed=7)
            outcome = asyncio.run(soak.run(server.pid, given.clients))
            if server.poll() is not None:
                sys.exit(f"the server ended: {(folder / 'log').read_text()[-2000:]}")
    told(outcome, given.minutes * 60)


if __name__ == "__main__":
    main()
