"""`ragkit delete`: take documents out of the index, with a receipt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.config.schema import Config
    from ragkit.ingest.report import Receipt


def delete(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names as `ragkit inspect` shows them.")
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="PATH", help="All that was indexed from this path, there or not; repeatable."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for an indexer to finish.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Remove documents from the index."""
    from ragkit.system import Ragkit

    loaded = load(config, overrides)
    names = list(dict.fromkeys(names or ()))
    if not names and not sources:
        raise ConfigError("nothing to delete", mend="name documents, or --from PATH")
    _check_names(loaded, names)
    receipt = Ragkit(loaded).delete(names, paths=sources or (), wait_s=wait)
    if as_json:
        print_json({"deleted": names, "from": sources or [], **receipt.as_dict()})
        return
    _print([*names, *(f"all from {source}" for source in sources or ())], receipt, config, overrides)


def _check_names(config: Config, names: list[str]) -> None:
    """Raise for a name that is not there, with those that come near; a deletion takes whole names only."""
    from ragkit.cli.documents import unknown_document
    from ragkit.store.open import NoIndex, open_manifest

    with open_manifest(config) as manifest:
        if manifest is None:
            raise NoIndex(f"there is no index at {config.ingestion.store.path}", mend="run: ragkit index PATH")
        held = [entry.name for entry in manifest.entries()]
    for name in names:
        if name not in held:
            raise unknown_document(name, held)


def _print(what: list[str], receipt: Receipt, config_path: Path | None, overrides: list[str] | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import FAINT, OLDER_COPY, clean, command_line, console, counted

    screen = console()
    screen.print(Text(f"deleted {counted(receipt.documents, 'document')}: {', '.join(map(clean, what))}"))
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    table.add_column("read back from the index")
    table.add_column("left", justify="right")
    for label, left in receipt.lines():
        table.add_row(label, f"{left:,}")
    screen.print(table)
    if receipt.files:
        screen.print(OLDER_COPY)
    again = command_line("index", config_path, overrides)
    screen.print(f"note: `{again}` brings a document in again while its file is there", soft_wrap=True)
