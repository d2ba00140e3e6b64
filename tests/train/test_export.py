"""The exported model loads without torch and scores as the network does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder
from ragkit.train.batches import tokenised
from ragkit.train.checkpoint import load_trained, save_trained
from ragkit.train.cross_encoder import base_network, score_pairs, train
from ragkit.train.export import export_int8


def _neighbour() -> Any:
    """The small model and its data from the test beside this one."""
    spec = importlib.util.spec_from_file_location("small_model", Path(__file__).with_name("test_cross_encoder.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.integration
def test_eight_bits_score_nearly_as_the_network(tmp_path: Path) -> None:
    small = _neighbour()
    base = small.build(tmp_path / "base")
    given = small.material(base)
    network = base_network(base, (0, 2), seed=1)
    train(network, given, np.arange(len(small.ANIMALS)), small.ENOUGH)
    save_trained(network, tmp_path / "weights.safetensors")
    again = base_network(base, (0, 1), seed=2)
    load_trained(again, tmp_path / "weights.safetensors")

    question = "where is the horse"
    texts = [f"The {animal} is in house {number}." for number, animal in enumerate(small.ANIMALS)]
    tokens = small.tokenizer(base)
    pairs = [(0, number) for number in range(len(texts))]
    wanted = score_pairs(again, tokenised([question], tokens), tokenised(texts, tokens), pairs, 32)
    file = export_int8(again, base, tmp_path / "model", window=32)
    found = np.asarray(OnnxCrossEncoder(tmp_path / "model", file).scores(question, texts))
    assert np.corrcoef(found, wanted)[0, 1] > 0.98
    assert found.argmax() == wanted.argmax() == small.ANIMALS.index("horse")
    assert file.stat().st_size < 1_500_000  # a quarter of the network's four million bytes of embeddings and more
