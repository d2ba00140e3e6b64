"""Who calls, and what of the index is theirs to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.config.schema import Filter
from ragkit.gateway.ledger import Payer
from ragkit.ingest.owner import FIELD
from ragkit.serve.keys import ROLES, Key, Role
from ragkit.store.filters import fields_of, matches

if TYPE_CHECKING:
    from ragkit.store.manifest import Entry, Manifest
    from ragkit.store.open import Snapshot
    from ragkit.types import Chunk


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a request came with; `ANYBODY` where none was ever made. `tenant` "" sees every document."""

    name: str
    tenant: str
    role: Role
    requests_per_minute: int | None = None
    concurrency: int | None = None

    @classmethod
    def of(cls, key: Key) -> Caller:
        return cls(key.name, key.tenant, key.role, key.requests_per_minute, key.concurrency)

    @property
    def payer(self) -> Payer:
        return Payer(self.tenant, self.name)

    def may(self, role: Role) -> bool:
        """Whether the role of the caller is this one or above it.

        >>> Caller("k", "", "write").may("read"), Caller("k", "", "write").may("admin")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def conditions(self) -> list[Filter]:
        """What every chunk must meet that the caller is shown, beside `retrieval.filters`."""
        return [Filter(field=FIELD, eq=self.tenant)] if self.tenant else []

    def sees(self, chunk: Chunk, config_filters: Sequence[Filter]) -> bool:
        fields = fields_of(chunk)
        return all(matches(condition, fields) for condition in [*config_filters, *self.conditions])

    def entries(self, manifest: Manifest, after: str, most: int) -> list[Entry]:
        """The next documents of the caller in the order of their names."""
        if self.tenant:
            return list(manifest.entries_with(FIELD, self.tenant, after, most))
        return list(manifest.entries_after(after, most))

    def sees_all_of(self, entry: Entry, snapshot: Snapshot, config_filters: Sequence[Filter]) -> bool:
        """Whether every chunk of a document is the caller's to see; no for a document without chunks, if the caller
        is a tenant."""
        conditions = [*config_filters, *self.conditions]
        if not conditions:
            return True
        seen = snapshot.store.count(conditions, document_id=entry.id)
        return seen > 0 and seen == snapshot.store.count(document_id=entry.id)


ANYBODY = Caller("", "", "admin")
