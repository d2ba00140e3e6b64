"""Models that sentence-transformers runs with torch: loaded in one way for all who have one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import MissingExtra, ModelError

Kind = Literal["SentenceTransformer", "CrossEncoder", "SparseEncoder"]
_CALLED: dict[Kind, str] = {
    "SentenceTransformer": "embedding model",
    "CrossEncoder": "cross-encoder",
    "SparseEncoder": "sparse model",
}


def load_torch_model(kind: Kind, folder: Path, device: str | None) -> Any:
    """The model in a folder as this class of sentence-transformers; takes seconds, and nothing is fetched.

    Raises ModelError for a folder that cannot be loaded and MissingExtra without sentence-transformers.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        import sentence_transformers
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingExtra("sentence_transformers", "local") from error
    # A bar for reading one local file tells nobody anything and spoils ours.
    transformers_logging.disable_progress_bar()
    try:
        return getattr(sentence_transformers, kind)(str(folder), device=device, local_files_only=True)
    except Exception as error:  # of five libraries: whatever a file of a model can be
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"cannot load the {_CALLED[kind]} at {folder}: {reason}") from error
