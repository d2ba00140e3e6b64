"""ragkit: index documents, ask questions, get answers whose citations are checked.

Importing this package loads nothing; each name below loads its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from ragkit.config.load import load_config
    from ragkit.config.schema import Config, Filter
    from ragkit.errors import RagkitError
    from ragkit.gateway.ledger import Payer
    from ragkit.system import Ragkit
    from ragkit.types import Answer, Chunk, Citation, Document, ScoredChunk

_HOME = {
    "Answer": "ragkit.types",
    "Chunk": "ragkit.types",
    "Citation": "ragkit.types",
    "Config": "ragkit.config.schema",
    "Document": "ragkit.types",
    "Filter": "ragkit.config.schema",
    "Payer": "ragkit.gateway.ledger",
    "Ragkit": "ragkit.system",
    "RagkitError": "ragkit.errors",
    "ScoredChunk": "ragkit.types",
    "load_config": "ragkit.config.load",
}

__all__ = [
    "Answer",
    "Chunk",
    "Citation",
    "Config",
    "Document",
    "Filter",
    "Payer",
    "Ragkit",
    "RagkitError",
    "ScoredChunk",
    "__version__",
    "load_config",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("ragkit")
    raise AttributeError(f"module 'ragkit' has no attribute {name!r}")
