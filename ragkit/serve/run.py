"""The server as a process: where it may listen, how it stops, how it takes a new config."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from contextlib import closing
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ragkit.config.schema import Config
from ragkit.config.serving import Serve
from ragkit.errors import ConfigError
from ragkit.serve.app import make_app
from ragkit.serve.database import Database
from ragkit.serve.gate import is_loopback
from ragkit.serve.keys import Keys
from ragkit.serve.systems import Source

_log = logging.getLogger("ragkit.serve")

_LONGEST_STOP_S = 9.5
"""After that long the process ends, whatever still runs: all that it keeps survives a kill."""


def run(config: Config, source: Source, file: Path | None = None) -> None:
    """Serve until a signal: SIGTERM and SIGINT drain and stop, SIGHUP reads the config again. `file` is what `source`
    reads.

    Raises ConfigError for an address that others reach while no API key was made, and one that cannot be had.
    """
    open_to_anybody = check_address(config.serve)
    listening = _socket(config.serve)
    try:
        app = make_app(config, source=source, file=file)
        settings = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, int(config.serve.stop_s)),
        )
        _Server(settings, app, open_to_anybody).run([listening])
    finally:
        listening.close()


def check_address(serve: Serve) -> bool:
    """Whether requests of this machine come in without a key, as none was ever made.

    Raises ConfigError if there is no key and the address is not this machine's alone.
    """
    with closing(Database(serve.folder)) as database:
        keyless = not Keys(database).any_made()
    if keyless and not is_loopback(serve.host):
        raise ConfigError(
            f"serve.host is {serve.host}, which others reach, and there is no API key",
            mend="make one: ragkit keys create NAME --role admin, or set serve.host to 127.0.0.1",
        )
    return keyless


def _socket(serve: Serve) -> socket.socket:
    try:
        found = socket.getaddrinfo(serve.host, serve.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"serve.host {serve.host} is no address: {error.strerror}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"cannot listen on {serve.host} port {serve.port}: {error.strerror}", mend="set serve.port to a free one"
        ) from error
    return opened


class _Server(uvicorn.Server):
    """uvicorn's, which says where it listens, reloads on SIGHUP, and ends in time."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, open_to_anybody: bool) -> None:
        super().__init__(config)
        self._app = app
        self._open_to_anybody = open_to_anybody
        self._reloads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started or not sockets:
            return
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        host, port = sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info("listening on http://%s:%d", shown, port)
        if self._open_to_anybody:
            _log.info("no API key was made: only this machine is let in, and it may do everything")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain; a second Ctrl-C ends at once. Not uvicorn's own, which raises the signal again after a clean end."""
        if self.should_exit:
            self.force_exit = sig == signal.SIGINT
            return
        self.should_exit = True
        end = threading.Timer(_LONGEST_STOP_S, os._exit, (0,))
        end.daemon = True
        end.start()

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._app.state.server.systems.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
