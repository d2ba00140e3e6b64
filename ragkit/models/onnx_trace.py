"""A network of torch's as one ONNX graph, by the exporter that torch brings along."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Axes = Mapping[int, str]
BATCH: Axes = {0: "batch"}
BATCH_AND_LENGTH: Axes = {0: "batch", 1: "length"}


def write_onnx(network: Any, to: Path, inputs: Sequence[str], outputs: Mapping[str, Axes]) -> None:
    """Write a network that reads tensors of token ids, shape (batch, length), one for each of `inputs`.

    Args:
        network: A torch module, called with the inputs in their order. Its attention must be "eager": the exporter
            cannot trace the others.
        outputs: What it gives, in its order, by name, with the axes that differ from call to call.

    Raises:
        RuntimeError: And other errors of torch's, for a network that it cannot trace.
    """
    import torch

    tokens = torch.ones(2, 8, dtype=torch.long)
    given = tuple(torch.zeros_like(tokens) if name == "token_type_ids" else tokens for name in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is announced as old
        torch.onnx.export(
            network,
            given,
            str(to),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in outputs.items()}
            | {name: dict(BATCH_AND_LENGTH) for name in inputs},
            dynamo=False,
        )
