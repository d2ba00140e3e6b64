"""Training on disk: its state, from which it goes on after a kill, and the weights that it ends with."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ragkit.durable import sync
from ragkit.errors import ModelError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """All of the file or none: written beside it, synced, renamed."""
    import torch

    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        torch.save(state, file)
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def save_trained(network: Any, to: Path) -> None:
    """What training moved, in float16, written whole or not at all."""
    import torch

    safetensors: Any = importlib.import_module("safetensors.torch")
    moved: dict[str, Any] = {
        name: one.detach().to("cpu", torch.float16).contiguous()
        for name, one in network.named_parameters()
        if one.requires_grad
    }
    safetensors.save_file(moved, str(to.with_suffix(".part")))
    to.with_suffix(".part").replace(to)


def load_trained(network: Any, weights: Path) -> None:
    """The inverse of `save_trained`, into a network of the same form. Raises ModelError for another."""
    safetensors: Any = importlib.import_module("safetensors.torch")
    missing, unknown = network.load_state_dict(safetensors.load_file(str(weights)), strict=False)
    moved = {name for name, one in network.named_parameters() if one.requires_grad}
    if unknown or moved & set(missing):
        raise ModelError(f"{weights} is not of a network of this form")
