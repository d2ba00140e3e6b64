"""The tools over MCP, by the official client: over stdio and over HTTP, each tenant with its own documents."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import yaml
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.serve.serving import KETTLE, LAMP, key, process, service, settings_in, upload

pytestmark = pytest.mark.integration

QUESTION = "How much water does the kettle hold?"


@dataclass
class World:
    folder: Path
    address: str
    root: dict[str, str]
    acme: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mcp")
    with service() as (url, _):
        (folder / "ragkit.yaml").write_text(yaml.safe_dump(settings_in(folder, url)), encoding="utf-8")
        root, acme = key(folder, "root", role="admin"), key(folder, "acme", tenant="acme", role="write")
        with process(folder) as (_, address):
            with httpx.Client(base_url=address, timeout=60) as client:
                upload(client, "kettle.md", KETTLE, root)
                upload(client, "lamp.md", LAMP, acme)
            yield World(folder, address, root, acme)


@asynccontextmanager
async def over_http(world: World, headers: dict[str, str]) -> AsyncGenerator[Client]:
    http = httpx2.AsyncClient(headers=headers, timeout=60)
    async with http, Client(streamable_http_client(f"{world.address}/mcp", http_client=http)) as client:
        yield client


@asynccontextmanager
async def over_stdio(world: World, *arguments: str) -> AsyncGenerator[Client]:
    command = ["-m", "ragkit.cli.main", "mcp", "-c", "ragkit.yaml", *arguments]
    async with Client(StdioServerParameters(command=sys.executable, args=command, cwd=world.folder)) as client:
        yield client


def on(opened: Any, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with opened as client:
            return await work(client)

    return asyncio.run(go())


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result: Any = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_the_tools_find_answer_and_read(world: World, way: str) -> None:
    async def work(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert sorted(tool.name for tool in tools) == ["ask", "get_document", "search"]
        found = await call(client, "search", question="steel kettle", top_k=1)
        [passage] = found["passages"]
        assert passage["source_document"] == "_/kettle.md"
        answer = await call(client, "ask", question=QUESTION)
        assert answer["answer"].startswith("The kettle holds two litres")
        citation = answer["citations"][0]
        start, end = citation["start"], citation["end"]
        text = await call(client, "get_document", name=citation["source_document"], start=start, characters=end - start)
        assert text["text"] == citation["quote"]
        assert text["characters"] > end

    on(over_http(world, world.root) if way == "http" else over_stdio(world), work)


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_a_tenant_has_tools_for_its_own_documents_only(world: World, way: str) -> None:
    async def work(client: Client) -> None:
        found = await call(client, "search", question="kettle lamp", top_k=50)
        assert {passage["source_document"] for passage in found["passages"]} == {"acme/lamp.md"}
        answer = await call(client, "ask", question=QUESTION)
        assert "kettle.md" not in str(answer)
        refused: list[str] = []
        for name in ("_/kettle.md", "none.md"):
            result: Any = await client.call_tool("get_document", {"name": name})
            assert result.is_error
            refused.append(str(result.content))
        assert refused[0] == refused[1]
        assert "there is no such document" in refused[0]

    on(over_http(world, world.acme) if way == "http" else over_stdio(world, "--tenant", "acme"), work)


def test_over_http_nobody_comes_in_without_a_key(world: World) -> None:
    async def work(client: Client) -> None:
        await client.list_tools()

    for headers in ({}, {"Authorization": "Bearer rk_1_2"}):
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - what the client makes of it is its own affair
            on(over_http(world, headers), work)
        assert not isinstance(raised.value, AssertionError)
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert httpx.post(f"{world.address}/mcp", json=body, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {}),
        ("search", {"question": "x", "top_k": 0}),
        ("ask", {"question": ""}),
        ("get_document", {"name": "_/kettle.md", "start": -1}),
        ("delete_document", {"name": "_/kettle.md"}),
    ],
)
def test_wrong_calls_are_errors_that_a_model_can_read(world: World, tool: str, arguments: dict[str, Any]) -> None:
    async def work(client: Client) -> Any:
        try:
            return await client.call_tool(tool, arguments)
        except MCPError as error:
            return error

    result = on(over_http(world, world.root), work)
    assert isinstance(result, MCPError) or result.is_error


def test_many_calls_of_two_tenants_at_once_stay_apart(world: World) -> None:
    async def go() -> list[tuple[str, set[str]]]:
        async with over_http(world, world.root) as root, over_http(world, world.acme) as acme:

            async def one(name: str, client: Client) -> tuple[str, set[str]]:
                found = await call(client, "search", question="kettle lamp", top_k=50)
                return name, {passage["source_document"] for passage in found["passages"]}

            # As many as `serve.concurrency_per_key` lets one key do at once, however slow the machine is.
            return await asyncio.gather(*(one(*who) for who in [("root", root), ("acme", acme)] * 8))

    for name, seen in asyncio.run(go()):
        assert seen == ({"_/kettle.md", "acme/lamp.md"} if name == "root" else {"acme/lamp.md"})
