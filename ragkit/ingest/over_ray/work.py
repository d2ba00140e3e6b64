"""What a worker of the cluster is told, and whether it would make of the same bytes what the run itself would make."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragkit import __version__
from ragkit.config.schema import Config, Ingestion, Retrieval
from ragkit.embed.models import found_model
from ragkit.embed.splade import weighed_by
from ragkit.errors import ModelError, RagkitError, ServiceError
from ragkit.ingest.settings import read_with
from ragkit.models.reference import parse_reference

STARTS_WITHIN_S = 300
"""How long a run waits for the first worker of a kind: a cluster may first have to bring a machine up."""


@dataclass(frozen=True, slots=True)
class Work:
    """The settings that workers need, and no others: no key and no password leaves this machine.

    `facts` are those of `facts_of` on the machine of the run; `threads` is what each model may use.
    """

    config: Config
    facts: dict[str, str]
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """What a worker cannot go on with, as plain text: exceptions would come as Ray wraps them."""

    message: str
    mend: str | None
    node: str

    def raised(self) -> ServiceError:
        """The error to raise in the run."""
        return ServiceError(f"Ray worker on {self.node}: {self.message}", mend=self.mend)


class Mismatch(RagkitError):
    """A worker is not as the machine of the run."""


def work_of(config: Config, threads: int = 1) -> Work:
    """What the workers of a run with this config are told."""
    ingestion, retrieval = config.ingestion, config.retrieval
    model = ingestion.embedding.model
    if ingestion.embedding.backend == "sentence_transformers":
        model = _from_anywhere(model)
    embedding = ingestion.embedding.model_copy(update={"model": model, "api_key": None})
    told = Config(
        ingestion=Ingestion(parsing=ingestion.parsing, chunking=ingestion.chunking, embedding=embedding),
        retrieval=Retrieval(sparse=retrieval.sparse, splade_model=_from_anywhere(retrieval.splade_model)),
    )
    return Work(told, facts_of(told), threads)


def _from_anywhere(model: str) -> str:
    """A folder by its whole path, for workers have another working directory; a known name stays one."""
    try:
        meant = parse_reference(model)
    except ModelError:
        return model
    return str(meant.resolve()) if isinstance(meant, Path) else model


def facts_of(config: Config) -> dict[str, str]:
    """By name, whatever must be the same on all machines for equal files to give equal chunks and vectors."""
    facts = {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "ragkit": __version__,
        "the parser": read_with(config),
    }
    embedding = config.ingestion.embedding
    if embedding.backend == "sentence_transformers":
        facts[f"the model {embedding.model}"] = found_model(embedding.model).digest()
    if config.retrieval.sparse != "bm25":
        facts[f"the model {config.retrieval.splade_model}"] = weighed_by(config.retrieval.splade_model)
    return facts


def begin(work: Work) -> None:
    """Make a worker process ready: raises RagkitError where it has another version or model than the run."""
    if "torch" not in sys.modules:
        os.environ["OMP_NUM_THREADS"] = str(work.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    here = facts_of(work.config)
    for name, there in work.facts.items():
        if here.get(name) != there:
            shown = f": {here.get(name)}, and {there} where ragkit index runs" if len(there) < 40 else ""
            raise Mismatch(f"{name} is another one here{shown}", mend="install the same on all machines of the cluster")


def fault(message: str, mend: str | None = None) -> Fault:
    """Something that this worker cannot go on with, with the address of its machine."""
    import ray.util

    util: Any = ray.util
    return Fault(message, mend, util.get_node_ip_address())
