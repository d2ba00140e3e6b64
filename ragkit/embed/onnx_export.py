"""How an embedding model becomes ONNX, pooling and all; `ragkit/models/onnx_export.py` keeps it.

It is used only if its vectors agree with torch's: cosine 1 to within 1e-4 on texts of all kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragkit.embed.models import model_window
from ragkit.embed.onnx_encoder import OnnxEncoder
from ragkit.embed.torch_encoder import TorchEncoder
from ragkit.errors import ModelError
from ragkit.models.onnx_session import optimise
from ragkit.models.onnx_trace import BATCH, write_onnx

_FARTHEST = 1e-4
_PROBES = (
    "",
    " ",
    "a",
    "  Leading blanks and a line\nbreak. ",
    "How long is an RMA number valid?",
    "ÉCOLE, straße, naïve, ΣΊΣΥΦΟΣ; 100 °C, 3.5 µm",
    "电池能用多久？ バッテリー 배터리 аккумулятор بطارية 👩‍👩‍👧‍👦",
    "The battery of a node lasts 24 months at an interval of 10 minutes. " * 4,
    "word " * 2000,
)


def export(model: Path, to: Path) -> float:
    """Write the ONNX file of the model in this folder; how far a cosine to torch's vectors is from 1, at most.

    Raises ModelError if that is too far, and whatever torch raises for a model that it cannot export.
    """
    window = model_window(model)
    by_torch = TorchEncoder(model, window, "cpu")
    expected = by_torch.encode(_PROBES)
    plain = to.with_name("plain.onnx")
    _trace(by_torch.model, plain)
    optimise(plain, to)
    farthest = _farthest(expected, OnnxEncoder(model, to, window).encode(_PROBES))
    if not farthest <= _FARTHEST:
        raise ModelError(f"cosine to torch's vectors is down to {1 - farthest:.6f}")
    return farthest


def _trace(network: Any, to: Path) -> None:
    import torch

    names: list[str] = list(network.tokenizer(["a"]).keys())

    class Whole(torch.nn.Module):
        """From token ids to one vector, all modules of the model in their order."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.network(dict(zip(names, tensors, strict=True)))["sentence_embedding"]

    network[0].auto_model.set_attn_implementation("eager")
    write_onnx(Whole().eval(), to, names, {"embedding": BATCH})


def _farthest(expected: Any, found: Any) -> float:
    """How far the cosine of two rows is from 1, at most."""
    import numpy as np

    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(np.max(1 - np.sum(expected * found, axis=1) / np.maximum(lengths, 1e-12)))
