"""The section `ingestion.ray`: the cluster of `ingestion.engine: ray`, and how much of it an index run takes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from ragkit.config.part import Part, runtime


def _cluster(address: str) -> str:
    if address.startswith("ray://"):
        raise ValueError(
            "ray:// is the address of Ray's client; give HOST:PORT, and run ragkit on a node of the cluster"
        )
    if not re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}", address):
        raise ValueError("this is no address of a cluster; write HOST:PORT, as `ray start --head` prints it")
    return address


def _share(gpus: float | None) -> float | None:
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise ValueError("Ray gives a process a share of one GPU or several whole ones; write 0.5 or 2, say")
    return gpus


class Ray(Part):
    """Where and by how many processes an index is made; what it holds follows from none of it."""

    address: Annotated[str, AfterValidator(_cluster)] | None = runtime(
        None,
        description="HOST:PORT of a cluster that this machine is a node of; null starts Ray here, for the run.",
    )
    parse_actors: int = runtime(
        0, ge=0, le=4096, description="Processes that parse and chunk; 0 means one for four CPUs of the cluster."
    )
    embed_actors: int = runtime(
        0,
        ge=0,
        le=4096,
        description="Processes with the model; 0 means one a GPU of the cluster, without any one a CPU.",
    )
    embed_gpus: Annotated[float | None, AfterValidator(_share)] = runtime(
        None,
        ge=0,
        le=16,
        description="GPUs for each of these, below 1 a share; null means 1 where the cluster has any.",
    )
