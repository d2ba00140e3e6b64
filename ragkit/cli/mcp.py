"""`ragkit mcp`: the tools search, ask and get_document for programs that speak the Model Context Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, SetOption, load
from ragkit.errors import MissingExtra

if TYPE_CHECKING:
    from ragkit.serve.gate import Admitted
    from ragkit.serve.tools import AnyContext
    from ragkit.types import Answer


def mcp(
    config: ConfigOption = None,
    overrides: SetOption = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP at /mcp, as `ragkit serve` does; without it, over stdio.")
    ] = False,
    tenant: Annotated[
        str, typer.Option("--tenant", help="stdio: show only documents of this tenant; over HTTP the key says whose.")
    ] = "",
) -> None:
    """Give a language model the tools search, ask and get_document (Model Context Protocol)."""
    try:
        from ragkit.serve.tools import make_tools
    except ImportError as error:
        raise MissingExtra(error.name or "mcp", "serve,mcp") from None
    if http:
        from ragkit.cli.serve import serve

        serve(config, overrides)
        return
    from ragkit.observe.logs import log_to_stderr
    from ragkit.serve.access import Caller
    from ragkit.serve.gate import Admitted
    from ragkit.serve.keys import checked_name
    from ragkit.system import Ragkit

    loaded = load(config, overrides)
    log_to_stderr(loaded.serve.log)  # stdout belongs to the protocol
    caller = Caller("mcp", checked_name(tenant, "tenant") if tenant else "", "read")
    with Ragkit(loaded) as rag:
        admitted = Admitted(caller, rag, float("inf"))

        def admit(context: AnyContext) -> Admitted:
            return admitted

        async def ask(context: AnyContext, admitted: Admitted, question: str) -> Answer:
            return await rag.aask(question, filters=caller.conditions, payer=caller.payer)

        make_tools(admit, ask).run("stdio")
