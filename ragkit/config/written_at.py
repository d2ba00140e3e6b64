"""Naming the file and line of a value that turns out wrong after the file was read: it does not fit the model, or the
model is not there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ragkit.config.schema import Config
from ragkit.errors import ConfigError, ModelError, RagkitError


@contextmanager
def written_at(
    config: Config, *keys: str, kinds: tuple[type[RagkitError], ...] = (ConfigError, ModelError)
) -> Generator[None]:
    """Put before an error of these kinds the place where the first of the keys that is written was written.

    An error that has its place already keeps it, so that these may be nested.

    >>> from ragkit.config.load import load_config
    >>> config = load_config(None, ["ingestion.embedding.model=mini"]).config
    >>> with written_at(config, "ingestion.embedding.model"):
    ...     raise ModelError("no model is called mini")
    Traceback (most recent call last):
    ragkit.errors.ModelError: --set: no model is called mini
    """
    try:
        yield
    except kinds as error:
        place = next((config.origins[key] for key in keys if key in config.origins), None)
        if place is not None and error.place is None:
            error.place = place
        raise
