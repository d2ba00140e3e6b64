"""The models that a config names: there, unaltered, made for what they are to do; and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ragkit.doctor.finding import Finding, answering
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.config.schema import Config

_BY_TORCH = "run by torch, which takes seconds to import; no export: "


def model(config: Config) -> Iterator[Finding]:
    """The embedding model: there, unaltered, with a tokenizer, and reading whole chunks."""
    from ragkit.embed.models import found_model, model_folder, verify_weights
    from ragkit.ingest.settings import fitted_chunking, token_counter_of
    from ragkit.models.catalogue import known
    from ragkit.models.onnx_export import why_not

    embedding = config.ingestion.embedding
    try:
        if embedding.backend == "sentence_transformers":
            folder = model_folder(embedding.model)
            pinned = verify_weights(embedding.model)
            listed = known(embedding.model)
            whose = "the publisher's" if listed and listed.hashes == "publisher" else "that of its package"
            sha = f"sha256 is {whose}" if pinned else "no sha256 known to compare with"
            yield Finding("model", "ok", f"{embedding.model} in {folder}; {sha}")
            if reason := why_not(found_model(embedding.model)):
                yield Finding("model", "ok", _BY_TORCH + reason)
        yield from prefixes(config)
        tokens = token_counter_of(config)
        yield Finding("tokenizer", "ok", f"counts {tokens.count('How many tokens?')} in 'How many tokens?'")
        chunking = fitted_chunking(config, tokens)
        header = f" and a header of {chunking.header_tokens}" if chunking.contextual_header else ""
        detail = f"chunks of {chunking.chunk_size} tokens{header} fit the {tokens.window} that the model reads"
        yield Finding("chunk size", "ok", detail)
    except RagkitError as error:
        yield Finding("model", "fail", error.message, error.mend)


def sparse_model(config: Config) -> Iterator[Finding]:
    """The model of SPLADE, where words are searched by one: there, unaltered, and made for that."""
    if config.retrieval.sparse == "bm25":
        return
    from ragkit.embed.splade import splade_folder

    name = config.retrieval.splade_model
    try:
        yield Finding("retrieval.splade_model", "ok", f"{name} in {splade_folder(name)}")
    except RagkitError as error:
        yield Finding("retrieval.splade_model", "fail", error.message, error.mend)


def reranker(config: Config) -> Iterator[Finding]:
    """The cross-encoder, where one runs on this machine: there, unaltered, and made for reranking."""
    reranking = config.retrieval.reranking
    if reranking.backend != "cross_encoder":
        return
    from ragkit.rerank.cross_encoder import found_cross_encoder, why_torch

    try:
        found = found_cross_encoder(reranking.model or "")
        yield Finding("reranking.model", "ok", f"{reranking.model} in {found.folder}")
        if reason := why_torch(found):
            yield Finding("reranking.model", "ok", _BY_TORCH + reason)
    except RagkitError as error:
        yield Finding("reranking.model", "fail", error.message, error.mend)


def reranking(config: Config) -> Iterator[Finding]:
    """Whether the reranker helps on the user's documents, by the last evaluation of this very config, if there is one.

    Runs are looked for where `ragkit eval run` and `checklist` keep them unless told otherwise.
    """
    if config.retrieval.reranking.backend == "none":
        return
    from ragkit.config.hashing import config_hash
    from ragkit.evaluate.remarks import TURN_OFF
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.summary import reranking_gain

    check, gain, run = "reranking", None, None
    if DEFAULT_FILE.is_file():
        try:
            with Runs(DEFAULT_FILE) as runs:
                ended = (each for each in runs.all() if each.ended and each.config_hash == config_hash(config))
                run = next(ended, None)
                gain = reranking_gain(list(runs.records(run.id)), run.seed) if run else None
        except RagkitError as error:
            yield Finding(check, "warn", error.message, error.mend)
            return
    if run is None or gain is None:
        unknown = "not measured with this config whether it helps: ragkit eval checklist --suite FILE says so (row 4)"
        yield Finding(check, "ok", unknown)
        return
    detail = f"adds {gain.mean:+.3f} to precision@3 ({gain.interval}) over {gain.questions} questions of run {run.id}"
    if gain.is_known and gain.high < 0:
        yield Finding(check, "warn", f"the reranker ranks worse than none: it {detail}", TURN_OFF)
    else:
        yield Finding(check, "ok", detail)


def reader(config: Config) -> Iterator[Finding]:
    """The reader, where the config has one: there, and one that marks answers."""
    if config.generation.reader is None:
        return
    from ragkit.generate import make_reader

    try:
        make_reader(config.generation)
        yield Finding("generation.reader", "ok", config.generation.reader)
    except RagkitError as error:
        yield Finding("generation.reader", "fail", error.message, error.mend)


def generator(config: Config) -> Iterator[Finding]:
    """The language models that run on this machine: there, unaltered, and in the format that runs them."""
    for name, generation in answering(config):
        try:
            if generation.backend == "llama_cpp":
                from ragkit.generate.llama_model import gguf_file

                yield Finding(f"{name}.model", "ok", f"{generation.model} in {gguf_file(generation.model or '')}")
            elif generation.backend == "vllm":
                from ragkit.generate.vllm import model_folder

                yield Finding(f"{name}.model", "ok", f"{generation.model} in {model_folder(generation.model or '')}")
        except RagkitError as error:
            yield Finding(f"{name}.model", "fail", error.message, error.mend)


def prices(config: Config) -> Iterator[Finding]:
    """Whether the price of each model behind an API is known: without one its costs are not, and no budget takes it."""
    from ragkit.gateway.prices import price_of
    from ragkit.types import Usage

    for name, generation in answering(config):
        if generation.backend != "openai":
            continue
        model = generation.model or ""
        if price_of(model, Usage(1_000_000, 1_000_000), config.costs.prices, generation.base_url) is not None:
            yield Finding(f"{name} price", "ok", model)
            continue
        refused = bool(config.costs.budgets) and not config.costs.allow_unpriced
        detail = f"the price of {model} is not known" + (", and a budget refuses what has none" if refused else "")
        yield Finding(f"{name} price", "fail" if refused else "warn", detail, f"write costs.prices.{model}")


def prefixes(config: Config) -> Iterator[Finding]:
    """Whether the config puts before questions and passages what the model was trained with."""
    from ragkit.config.schema import PREFIXES
    from ragkit.models.catalogue import listed

    embedding = config.ingestion.embedding
    model = listed(embedding.model)
    if model is None:
        return
    for key in PREFIXES:
        set_, wanted = getattr(embedding, key), getattr(model, key)
        if set_ == wanted:
            continue
        if embedding.backend == "sentence_transformers":
            said, mend = f"the config says {set_!r}", f"leave ingestion.embedding.{key} out to have that"
        elif key not in embedding.model_fields_set:
            said = "the config leaves it out and ragkit cannot know whether the server adds it"
            mend = f"set ingestion.embedding.{key} to {wanted!r}, or to '' if the server adds it"
        else:
            continue  # the user has said which it is
        yield Finding(key, "warn", f"{model.name} is made for {wanted!r}, {said}", mend)
