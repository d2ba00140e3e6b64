"""What an index is built with: the chunking that fits the model, and everything that makes an index wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ragkit.config.hashing import explain_difference, index_settings
from ragkit.config.schema import Bm25, Chunking, Config, Embedding
from ragkit.config.written_at import written_at
from ragkit.embed import make_token_counter
from ragkit.embed.models import check_dimensions, check_window, model_dimensions, model_folder, model_positions
from ragkit.embed.tokens import TokenCounter
from ragkit.errors import ConfigError, IndexMismatch, IndexSwitched
from ragkit.ingest import sentences
from ragkit.store import bm25

if TYPE_CHECKING:
    from ragkit.store.manifest import Manifest

PARSER_VERSION = 3
"""Raise it when the same bytes begin to give other text, or the index another form: older ones are then refused."""

_OF_THE_PROCESS = {"base_url", "api_key", "batch_size", "device", "timeout_s"}
_UNRECORDED = {
    "ingestion.parsing.pdf_layout": True,
    "ingestion.store.vectors": "memory",
    "retrieval.sparse": "bm25",
}


def index_settings_of(config: Config) -> dict[str, Any]:
    """Settings by dotted key, with the chunk sizes that are really used; equal settings make equal indexes.

    Raises as `as_indexed` does.
    """
    return {**index_settings(as_indexed(config)), "parser_version": PARSER_VERSION}


def as_indexed(config: Config) -> Config:
    """The config with the chunk sizes that an index is really built with.

    Raises ConfigError if they or `dimensions` do not fit the model or a language is not known, and ModelError or
    MissingExtra if the model is not there.
    """
    _check_languages(config)
    embedding = config.ingestion.embedding
    tokens = token_counter_of(config)
    if embedding.backend == "sentence_transformers":
        folder = model_folder(embedding.model)
        with written_at(config, "ingestion.embedding.dimensions"):
            check_dimensions(embedding, model_dimensions(folder))
        with written_at(config, "ingestion.embedding.max_tokens"):
            check_window(embedding, model_positions(folder))
    if config.retrieval.sparse != "bm25":
        from ragkit.embed.splade import splade_folder

        with written_at(config, "retrieval.splade_model", "retrieval.sparse"):
            splade_folder(config.retrieval.splade_model)
    chunking = fitted_chunking(config, tokens)
    return config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"chunking": chunking})})


def token_counter_of(config: Config) -> TokenCounter:
    """The tokenizer of the config's embedding model; an error that it is not there names file and line."""
    with written_at(config, "ingestion.embedding.model"):
        return make_token_counter(config.ingestion.embedding)


def _check_languages(config: Config) -> None:
    with written_at(config, "ingestion.chunking.language"):
        sentences.check_language(config.ingestion.chunking.language)
    with written_at(config, "retrieval.bm25.language"):
        bm25.check_language(config.retrieval.bm25.language)


def differences(built: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """One sentence for each setting that an index was built with and that is another one now.

    A setting that older indexes do not record counts as its default there, which is what nearly all were built with.
    """
    return explain_difference({**_UNRECORDED, **built} if built else {}, settings)


def built_with(config: Config) -> dict[str, Any]:
    """What another process needs to open an index as this config does: the keys of `index_settings` as the config has
    them (None for chunk sizes that it leaves out), and what questions are embedded with."""
    return {
        **index_settings(config),
        "ingestion.embedding.query_prefix": config.ingestion.embedding.query_prefix,
        "retrieval.sparse": config.retrieval.sparse,
    }


def as_built(config: Config, manifest: Manifest) -> Config:
    """The config with the settings that an index was built with.

    What is of this process stays: addresses, keys, devices, and everything that an index does not depend on. Of an
    index that does not say what it was `built_with`, its `settings` do, and the prefixes of the catalogue. Raises
    ConfigError where the rest of the config does not go with them.
    """
    built: dict[str, Any] = manifest.meta("built_with") or manifest.meta("settings") or {}

    def section(prefix: str) -> dict[str, Any]:
        return {key.removeprefix(prefix): value for key, value in built.items() if key.startswith(prefix)}

    def given(prefix: str) -> dict[str, Any]:
        return {name: value for name, value in section(prefix).items() if value is not None}

    ingestion, retrieval = config.ingestion, config.retrieval
    own = {name: getattr(ingestion.embedding, name) for name in _OF_THE_PROCESS & ingestion.embedding.model_fields_set}
    sparse = built.get("retrieval.sparse", retrieval.sparse)
    if sparse not in ("bm25", "splade", "both"):  # one index does for the latter two
        sparse = retrieval.sparse if retrieval.sparse != "bm25" else "both"
    return config.model_copy(
        update={
            "ingestion": ingestion.model_copy(
                update={
                    "embedding": Embedding.model_validate({**given("ingestion.embedding."), **own}),
                    "chunking": Chunking.model_validate(given("ingestion.chunking.")),
                    "parsing": ingestion.parsing.model_copy(update=section("ingestion.parsing.")),
                    "store": ingestion.store.model_copy(update=section("ingestion.store.")),
                }
            ),
            "retrieval": retrieval.changed(
                {
                    "bm25": Bm25.model_validate(given("retrieval.bm25.")),
                    "sparse": sparse,
                    "splade_model": built.get("retrieval.splade_model", retrieval.splade_model),
                }
            ),
        }
    )


def succeeds(manifest: Manifest, settings: Mapping[str, Any]) -> bool:
    """Whether an index took the place of one with these settings by `ragkit index --blue-green` or `--rollback`, so
    that processes which have them may go over to it."""
    before: list[dict[str, Any]] = manifest.meta("succeeds") or []
    return any(not differences(each, settings) for each in before)


def succession(old: Manifest, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For the `succeeds` of an index with these settings that takes the place of an old one: the settings of that, and
    of all that it took the place of."""
    before: list[dict[str, Any]] = [*(old.meta("succeeds") or []), old.meta("settings") or {}]
    return [each for number, each in enumerate(before) if differences(each, settings) and each not in before[:number]]


def check_built_with(manifest: Manifest, settings: Mapping[str, Any]) -> None:
    """Raise IndexSwitched or IndexMismatch, naming each difference, unless an index was built with these settings."""
    try:
        refuse_other_settings(manifest.meta("settings"), settings)
    except IndexMismatch as error:
        if succeeds(manifest, settings):
            raise switched(error) from None
        raise


def switched(error: IndexMismatch) -> IndexSwitched:
    """The same for an index that was switched to its settings: to build it anew would undo that."""
    return IndexSwitched(
        error.message,
        mend="it was switched to them by `ragkit index --blue-green` or `--rollback`: put them into the config, or"
        " switch back: ragkit index --rollback",
    )


def refuse_other_settings(built: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
    """Raise IndexMismatch, naming each difference, unless an index was built with these settings."""
    found = differences(built or {}, settings)
    if found:
        raise IndexMismatch(
            "the index was built with other settings: " + "; ".join(found),
            mend="to build it anew: ragkit index --rebuild",
        )


def parsers_after(before: Sequence[str], *, used: bool) -> tuple[list[str], str | None]:
    """The versions of kreuzberg that read what the index holds, after a run that `used` it or did not; and a warning
    where the run brought in another one.

    Documents that another version reads otherwise stay as they are until they change: the parser is updated often, and
    an update rarely changes what a given file says, so that refusing the index each time would cost more than it saves.
    The list says what may be mixed; a rebuild begins it anew.
    """
    this = version("kreuzberg")
    if not used or this in before:
        return [*before], None
    others = ", ".join(before)
    warning = (
        f"holds documents read by kreuzberg {others}, now by {this} too; to read all by one: ragkit index --rebuild"
    )
    return [*before, this], warning if before else None


def read_with(config: Config) -> str:
    """What decides, beside a file's bytes, whether it can be read: the parser's version and limits."""
    limits = config.ingestion.parsing.model_dump(mode="json", exclude={"workers"})
    return json.dumps({"parser": version("kreuzberg"), "ragkit": PARSER_VERSION, **limits}, sort_keys=True)


def fitted_chunking(config: Config, tokens: TokenCounter) -> Chunking:
    """The chunking of the config, checked against the model's window; nothing is ever cut silently.

    A size that the config sets must fit: otherwise ConfigError with the largest that does. Where the config leaves
    the default (512 tokens, 50 overlap) and the model reads less, the default shrinks to what fits.
    """
    chunking = config.ingestion.chunking
    embedding = config.ingestion.embedding
    prefix = tokens.count(embedding.passage_prefix) if embedding.passage_prefix else 0
    # One token of slack for the line break between header and text under byte-pair tokenizers.
    header = chunking.header_tokens + 1 if chunking.contextual_header else 0
    room = tokens.window - tokens.special_tokens - prefix - header
    if chunking.chunk_size <= room:
        return chunking.model_copy(update={"chunk_size": chunking.chunk_size, "overlap": chunking.overlap})
    if "chunk_size" in chunking.model_fields_set:
        beside = f", {header} of them for the contextual header" if header else ""
        with written_at(config, "ingestion.chunking.chunk_size"):
            raise ConfigError(
                f"ingestion.chunking.chunk_size is {chunking.chunk_size}, but {embedding.model} reads "
                f"{tokens.window} tokens{beside}",
                mend=f"set chunk_size to {room} or less, or choose a model with a longer window",
            )
    if room < 16:
        with written_at(config, "ingestion.chunking.header_tokens", "ingestion.embedding.max_tokens"):
            raise ConfigError(
                f"{embedding.model} reads {tokens.window} tokens, which leaves no room for text",
                mend="lower header_tokens",
            )
    overlap = chunking.overlap if "overlap" in chunking.model_fields_set else round(room * 0.1)
    if overlap >= room:
        with written_at(config, "ingestion.chunking.overlap"):
            raise ConfigError(f"ingestion.chunking.overlap ({overlap}) must be smaller than chunk_size ({room})")
    return chunking.model_copy(update={"chunk_size": room, "overlap": overlap})
