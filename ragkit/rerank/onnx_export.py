"""How a cross-encoder becomes ONNX; `ragkit/models/onnx_export.py` keeps it.

It is used only if its scores agree with torch's to 1e-4 on pairs of all kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ragkit.errors import ModelError
from ragkit.models.onnx_session import optimise
from ragkit.models.onnx_trace import BATCH, write_onnx
from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder
from ragkit.rerank.torch_cross_encoder import TorchCrossEncoder

_FARTHEST = 1e-4
_QUESTIONS = ("How long is an RMA number valid?", "straße, 电池能用多久？ ΣΊΣΥΦΟΣ", "word " * 2000)
_TEXTS = (
    "",
    "a",
    "An RMA number is valid for 30 days.",
    "ÉCOLE, naïve; 100 °C, 3.5 µm. バッテリー 배터리 аккумулятор بطارية 👩‍👩‍👧‍👦",
    "The battery of a node lasts 24 months at an interval of 10 minutes. " * 4,
    "word " * 2000,
)


def export(model: Path, to: Path) -> float:
    """Write the ONNX file of the model in this folder; how far a score is from torch's, at most.

    Raises ModelError if that is too far, and whatever torch raises for a model that it cannot export.
    """
    by_torch = TorchCrossEncoder(model, "cpu")
    expected = [by_torch.scores(question, _TEXTS) for question in _QUESTIONS]
    plain = to.with_name("plain.onnx")
    _trace(by_torch.model, plain)
    optimise(plain, to)
    by_onnx = OnnxCrossEncoder(model, to, optimised=True)
    found = [by_onnx.scores(question, _TEXTS) for question in _QUESTIONS]
    farthest = float(np.max(np.abs(np.asarray(expected) - np.asarray(found))))
    if not farthest <= _FARTHEST:
        raise ModelError(f"a score differs from torch's by {farthest:.6f}")
    return farthest


def _trace(encoder: Any, to: Path) -> None:
    import torch

    names: list[str] = list(encoder.tokenizer(["a"], ["b"]).keys())

    class Whole(torch.nn.Module):
        """From token ids to one number a pair, before the activation function."""

        def __init__(self) -> None:
            super().__init__()
            self.network = encoder.model

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.network(**dict(zip(names, tensors, strict=True))).logits

    encoder.model.set_attn_implementation("eager")
    write_onnx(Whole().eval(), to, names, {"logits": BATCH})
