"""Tell a user of a filter on a field that no document has: it lets nothing through, silently."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ragkit.config.schema import Filter
    from ragkit.system import Ragkit


def note_unknown_fields(rag: Ragkit, filters: Sequence[Filter]) -> None:
    """Write a note on stderr for each field of the filters (the config's too) that the index does not know."""
    from ragkit.store.filters import OWN_FIELDS, asked_fields

    asked = asked_fields([*rag.config.retrieval.filters, *filters])
    if not asked:
        return
    known = OWN_FIELDS | rag.snapshot().manifest.metadata_fields()
    for name in asked:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1)
            mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}"
            typer.echo(f"note: no document has the field {name!r}; {mend}", err=True)
