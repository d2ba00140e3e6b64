"""`ragkit serve`: the HTTP server."""

from __future__ import annotations

from typing import Annotated

import typer

from ragkit.cli.options import ConfigOption, SetOption, load
from ragkit.errors import MissingExtra


def serve(
    config: ConfigOption = None,
    overrides: SetOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Instead of serve.host.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Instead of serve.port; 0 takes a free one.")
    ] = None,
) -> None:
    """Serve questions, search and uploads over HTTP."""
    try:
        from ragkit.serve.run import run
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from None
    from ragkit.config import Config
    from ragkit.config.load import DEFAULT_FILE
    from ragkit.observe.logs import log_to_stderr

    given = {"serve.host": host, "serve.port": port}
    changes = [*(overrides or ()), *(f"{key}={value}" for key, value in given.items() if value is not None)]

    def source() -> Config:
        return load(config, changes)

    loaded = source()
    log_to_stderr(loaded.serve.log)
    run(loaded, source, config or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None))
