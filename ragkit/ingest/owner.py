"""Whose an uploaded document is: its place says so, and nothing that stands in it.

The server puts what a tenant uploads into `serve.folder`/uploads/TENANT/. The field `tenant` of such a document is that
name whatever its own metadata claims, also when `ragkit index --rebuild` reads it again without a server.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ragkit.types import Document

FIELD = "tenant"
"""The metadata field that tenants are told apart by."""
UPLOADS = "uploads"
NOBODYS = "_"
"""The folder of uploads that belong to no tenant; no tenant can have this name."""


def uploads_of(serve_folder: Path) -> Path:
    """The folder of all uploads, as an absolute path."""
    return (serve_folder / UPLOADS).resolve()


def owner_of(path: Path, serve_folder: Path) -> str | None:
    """The tenant that uploaded a file; None for a file that no tenant did.

    >>> owner_of(Path("/srv/uploads/acme/a.pdf"), Path("/srv")), owner_of(Path("/docs/a.pdf"), Path("/srv"))
    ('acme', None)
    """
    uploads = uploads_of(serve_folder)
    if not path.is_relative_to(uploads):
        return None
    parts = path.relative_to(uploads).parts
    return parts[0] if len(parts) > 1 and parts[0] != NOBODYS else None


def owned(document: Document, tenant: str | None) -> Document:
    """The document as the tenant's; without one it stays as it is."""
    return document if tenant is None else replace(document, metadata={**document.metadata, FIELD: tenant})
