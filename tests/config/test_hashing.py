"""The hashes change with what changes results, and with nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from ragkit.config import Config, config_hash, explain_difference, index_hash, index_settings, load_config
from ragkit.config.costs import Price
from ragkit.config.part import Part
from ragkit.config.routing import Endpoint, Rule
from ragkit.config.schema import Filter

INDEX_KEYS = {
    "ingestion.chunking.strategy",
    "ingestion.chunking.chunk_size",
    "ingestion.chunking.overlap",
    "ingestion.chunking.contextual_header",
    "ingestion.chunking.header_tokens",
    "ingestion.chunking.breakpoint_percentile",
    "ingestion.chunking.window",
    "ingestion.chunking.language",
    "ingestion.parsing.pdf_layout",
    "ingestion.store.vectors",
    "ingestion.embedding.backend",
    "ingestion.embedding.model",
    "ingestion.embedding.dimensions",
    "ingestion.embedding.passage_prefix",
    "ingestion.embedding.max_tokens",
    "retrieval.sparse",
    "retrieval.splade_model",
    "retrieval.bm25.k1",
    "retrieval.bm25.b",
    "retrieval.bm25.language",
}

READ_BY_RERANKERS = ("model", "candidates", "weight", "top_n")
READ_BY_FEEDBACK = ("documents", "terms", "weight")
READ_BY_ROCCHIO = ("rocchio_documents", "rocchio_weight")
READ_BY_DIVERSITY = ("weight", "candidates")
READ_BY_NEIGHBOURS = ("k", "weight", "among")
READ_BY_MODELS = (
    "model",
    "system_prompt",
    "reminder",
    "packing",
    "order",
    "temperature",
    "max_tokens",
    "stop",
    "citations",
    "context_tokens",
)

st.register_type_strategy(SecretStr, st.text().map(SecretStr))
st.register_type_strategy(Path, st.text("abc/", min_size=1).map(Path))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(
    Filter,
    st.builds(Filter, field=st.text(), eq=st.one_of(st.text(), st.integers(), st.booleans(), st.dates())),
)


def fields_of(part: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], FieldInfo]]:
    """Every leaf of the schema, found here without the code under test."""
    found: list[tuple[tuple[str, ...], FieldInfo]] = []
    for name, field in part.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Part):
            found += fields_of(kind, (*above, name))
        else:
            found.append(((*above, name), field))
    return found


def is_runtime(field: FieldInfo) -> bool:
    return field.json_schema_extra == {"runtime": True}


def changed(part: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy with one value replaced; not validated, since a rule over two keys is not the point here."""
    head, *rest = path
    return part.model_copy(update={head: changed(getattr(part, head), tuple(rest), value) if rest else value})


def value_at(part: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        part = getattr(part, name)
    return part


def with_value(config: Config, given: tuple[str, object] | None) -> Config:
    return config if given is None else changed(config, tuple(given[0].split(".")), given[1])


FIELDS = fields_of(Config)

# What must be set so that a key is read; the others always are.
READ_UNDER: dict[str, tuple[str, object]] = {
    "retrieval.splade_model": ("retrieval.sparse", "both"),
    "retrieval.fusion.k": ("retrieval.fusion.method", "rrf"),
    "retrieval.fusion.alpha": ("retrieval.fusion.method", "weighted"),
    **{f"retrieval.feedback.{name}": ("retrieval.feedback.method", "rm3") for name in READ_BY_FEEDBACK},
    **{f"retrieval.feedback.{name}": ("retrieval.feedback.method", "rocchio") for name in READ_BY_ROCCHIO},
    **{f"retrieval.neighbours.{name}": ("retrieval.neighbours.method", "smooth") for name in READ_BY_NEIGHBOURS},
    **{f"retrieval.diversity.{name}": ("retrieval.diversity.method", "mmr") for name in READ_BY_DIVERSITY},
    "generation.expand_by": ("generation.expand", "window"),
    **{f"retrieval.reranking.{name}": ("retrieval.reranking.backend", "http") for name in READ_BY_RERANKERS},
    **{f"generation.{name}": ("generation.backend", "openai") for name in READ_BY_MODELS},
    "generation.refusal.ask_model": ("generation.backend", "llama_cpp"),
    "cache.min_similarity": ("cache.mode", "semantic"),
    "cache.max_false_hits": ("cache.mode", "semantic"),
    "routing.rules": ("routing.policy", "rules"),
    "routing.tasks": ("routing.policy", "tasks"),
    "routing.prefer": ("routing.policy", "tasks"),
    "routing.cascade.min_confidence": ("routing.policy", "cascade"),
    "routing.cascade.min_groundedness": ("routing.policy", "cascade"),
    "routing.cascade.scores": ("routing.policy", "cascade"),
    "routing.cascade.threshold": ("routing.policy", "cascade"),
}
NOT_READ_UNDER: dict[str, tuple[str, object]] = {
    "ingestion.chunking.breakpoint_percentile": ("ingestion.chunking.strategy", "recursive"),
    "ingestion.chunking.window": ("ingestion.chunking.strategy", "fixed_size"),
    "ingestion.chunking.header_tokens": ("ingestion.chunking.contextual_header", False),
    "retrieval.splade_model": ("retrieval.sparse", "bm25"),
    "retrieval.fusion.method": ("retrieval.strategy", "dense"),
    "retrieval.fusion.k": ("retrieval.fusion.method", "dbsf"),
    "retrieval.fusion.alpha": ("retrieval.fusion.method", "rrf"),
    **{f"retrieval.feedback.{name}": ("retrieval.feedback.method", "rocchio") for name in READ_BY_FEEDBACK},
    **{f"retrieval.feedback.{name}": ("retrieval.feedback.method", "rm3") for name in READ_BY_ROCCHIO},
    **{f"retrieval.neighbours.{name}": ("retrieval.neighbours.method", "none") for name in READ_BY_NEIGHBOURS},
    **{f"retrieval.diversity.{name}": ("retrieval.diversity.method", "none") for name in READ_BY_DIVERSITY},
    "generation.expand_by": ("generation.expand", "parent"),
    **{f"retrieval.reranking.{name}": ("retrieval.reranking.backend", "none") for name in READ_BY_RERANKERS},
    **{f"generation.{name}": ("generation.backend", "extractive") for name in READ_BY_MODELS},
    "generation.max_sentences": ("generation.backend", "vllm"),
    "generation.refusal.ask_model": ("generation.backend", "openai"),
    "cache.min_similarity": ("cache.mode", "exact"),
    "cache.max_false_hits": ("cache.mode", "exact"),
    "routing.policy": ("routing.endpoints", []),
    "routing.rules": ("routing.policy", "weighted"),
    "routing.cascade.min_confidence": ("routing.policy", "fallback"),
}


ENDPOINTS = ("routing.endpoints", [Endpoint(name="a")])
st.register_type_strategy(Endpoint, st.builds(Endpoint, name=st.text(min_size=1, max_size=9), model=st.text()))
st.register_type_strategy(Rule, st.builds(Rule, endpoints=st.just(["a"]), task=st.text()))
# Hypothesis does not find the bound of a float that may be null.
st.register_type_strategy(Price, st.builds(Price, cached_input=st.none() | st.just(0.0)))


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[".".join(path) for path, _ in FIELDS])
def test_the_hash_changes_with_every_field_but_runtime_ones(path: tuple[str, ...], field: FieldInfo) -> None:
    base = with_value(Config(), ENDPOINTS if path[0] == "routing" else None)
    base = with_value(base, READ_UNDER.get(".".join(path)))
    runtime = is_runtime(field)

    values = st.from_type(cast(type[Any], field.annotation))

    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    @given(value=values)
    def check(value: Any) -> None:
        assume(value != value_at(base, path))
        other = changed(base, path, value)
        assert (config_hash(other) == config_hash(base)) == runtime
        assert (index_hash(other) == index_hash(base)) == (".".join(path) not in INDEX_KEYS)

        if path == ("retrieval", "sparse"):
            # One index does for SPLADE alone and beside BM25.
            swapped = changed(base, path, {"splade": "both", "both": "splade"}[value])
            assert index_hash(other) == index_hash(swapped)

    check()


@pytest.mark.parametrize("key", NOT_READ_UNDER)
def test_a_key_that_nothing_reads_under_a_config_changes_no_hash(key: str) -> None:
    path = tuple(key.split("."))
    base = with_value(Config(), NOT_READ_UNDER[key])
    value = value_at(base, path)
    other = changed(base, path, "else" if value is None or isinstance(value, str) else [value, 1])
    assert config_hash(other) == config_hash(base)
    assert index_hash(other) == index_hash(base)
    assert explain_difference(index_settings(base), index_settings(other)) == []


def test_what_endpoints_read_counts_whatever_the_backend_of_generation_is() -> None:
    base = with_value(Config(), ENDPOINTS)
    assert config_hash(changed(base, ("generation", "max_tokens"), 7)) != config_hash(base)


def test_where_an_endpoint_is_and_how_fast_changes_no_hash() -> None:
    there = Endpoint(name="a", base_url="http://there/v1", api_key=SecretStr("k"), timeout_s=3.0, max_concurrent=2)
    other = with_value(Config(), ("routing.endpoints", [there]))
    assert config_hash(other) == config_hash(with_value(Config(), ENDPOINTS))


def test_an_index_that_a_newly_read_setting_would_change_is_told_by_the_setting_that_reads_it() -> None:
    old = index_settings(with_value(Config(), ("ingestion.chunking.strategy", "recursive")))
    assert explain_difference({**old, "ingestion.chunking.window": 7}, index_settings(Config())) == [
        'ingestion.chunking.strategy: "recursive" in the index, "semantic" in the config'
    ]


def test_there_are_runtime_fields_and_others() -> None:
    kinds = [is_runtime(field) for _, field in FIELDS]
    assert kinds.count(True) >= 10
    assert kinds.count(False) >= 20


def test_a_hash_is_sixteen_hexadecimal_digits_and_stable() -> None:
    assert len(config_hash(Config())) == 16
    assert int(config_hash(Config()), 16) >= 0
    assert config_hash(Config()) == config_hash(Config())


def test_a_default_written_out_counts_as_left_out(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("ingestion: {chunking: {window: 3}}\nretrieval: {fusion: {method: dbsf}}", encoding="utf-8")
    assert config_hash(load_config(file).config) == config_hash(Config())


@pytest.mark.parametrize("size", ["chunk_size: 512", "overlap: 50"])
def test_sizes_of_chunks_that_are_left_out_are_not_their_defaults_for_the_model_decides(
    size: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"ingestion: {{chunking: {{{size}}}}}", encoding="utf-8")
    assert index_hash(load_config(file).config) != index_hash(Config())
    assert config_hash(load_config(file).config) != config_hash(Config())


def test_switches_that_came_later_leave_the_hash_of_a_config_that_has_them_off() -> None:
    # As it was before there were transforms, feedback, diversity and expansion. A new default makes another one.
    assert config_hash(load_config(Path(__file__).parents[2] / "configs/quickstart.yaml").config) == "0ecaa10325076bc6"


def test_a_date_and_the_same_characters_as_text_are_different_filters() -> None:
    def with_filter(value: str | date) -> Config:
        return changed(Config(), ("retrieval", "filters"), [Filter.model_validate({"field": "d", "eq": value})])

    assert config_hash(with_filter(date(2024, 1, 1))) != config_hash(with_filter("2024-01-01"))


def test_the_index_settings_are_exactly_what_makes_an_index_wrong() -> None:
    assert set(index_settings(Config())) == INDEX_KEYS


def test_differences_are_sentences_that_name_both_values() -> None:
    old = {"ingestion.chunking.chunk_size": 200, "gone": 1, "same": 1}
    new = {"ingestion.chunking.chunk_size": 256, "same": 1, "ingestion.embedding.model": "m"}
    assert explain_difference(old, new) == [
        "ingestion.chunking.chunk_size: 200 in the index, 256 in the config",
        "gone: 1 in the index, no setting of this version",
        'ingestion.embedding.model: not recorded in the index, "m" in the config',
    ]
    assert explain_difference(new, new) == []
