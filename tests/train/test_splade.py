"""scripts/train_splade.py: its weights and gradients are those of the formula, and what it saves can be loaded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from ragkit.embed.models import model_folder
from ragkit.embed.splade import SpladeEncoder
from ragkit.train.batches import material_of
from ragkit.train.data import Example, TrainingSet

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_splade.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("train_splade", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_splade"] = module
    spec.loader.exec_module(module)
    return module


def test_weights_and_gradients_are_those_of_the_formula(script: Any) -> None:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 200, "hidden_size": 24, "num_hidden_layers": 0, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, initializer_range=0.4, hidden_dropout_prob=0.0)
    network = transformers.BertForMaskedLM(config)
    texts = [np.asarray([101, *range(5, 5 + length), 102], dtype=np.int32) for length in (3, 30, 11)]

    found = script.weights_of(network, texts)
    found.square().sum().backward()
    bias = network.cls.predictions.bias
    gradient, of_bias = network.cls.predictions.transform.dense.weight.grad.clone(), bias.grad.clone()

    network.zero_grad()
    rows = []
    for text in texts:
        logits = network(input_ids=torch.as_tensor(text)[None].long()).logits[0]
        rows.append(torch.log1p(torch.relu(logits.max(0).values)))
    whole = torch.stack(rows)
    whole.square().sum().backward()
    # The winning place is chosen in bfloat16, so of two that are nearly alike it may be the other.
    torch.testing.assert_close(found, whole, atol=0.02, rtol=0.01)
    torch.testing.assert_close(of_bias, bias.grad, atol=0.02, rtol=0.02)
    apart = (gradient - network.cls.predictions.transform.dense.weight.grad).norm() / gradient.norm()
    assert apart < 0.1


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_head_is_fitted_trained_taken_up_again_and_saved(script: Any, tmp_path: Path) -> None:
    base = model_folder("all-MiniLM-L6-v2")
    tokenizer: Any = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    passages = [
        f"The {thing} is looked after by two people." for thing in ("pump", "valve", "sensor", "hotel", "river")
    ]
    examples = [Example(f"Who looks after the {passages[n].split()[1]}?", n, "g") for n in range(5)]
    one = TrainingSet("toy", passages, ["g"] * 5, examples)
    pools = np.asarray([[(n + 1) % 5] for n in range(5)], dtype=np.int32)
    material = material_of([one], [pools], tokenizer)
    network = script.masked_lm(base)
    script.fit_head(network, material.passages)
    settings = script.Settings(questions=4, save_every_s=0.0)

    assert script.train(network, material, settings, tmp_path / "state.pt", 0, 2)["steps"] == 2
    again = script.masked_lm(base)
    assert script.train(again, material, settings, tmp_path / "state.pt", 0, 3)["steps"] == 3
    script.save_model(again, base, tmp_path / "model")

    encoder = SpladeEncoder(str(tmp_path / "model"), "cpu")
    rows = encoder.embed_passages(passages)
    for thing, row in zip(("pump", "valve", "sensor", "hotel", "river"), rows, strict=True):
        assert tokenizer.token_to_id(thing) in row[0].astype(int)
    with np.testing.assert_raises(AssertionError):
        np.testing.assert_array_equal(rows[0], rows[1])
