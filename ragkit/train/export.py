"""A trained cross-encoder as one ONNX file in whole numbers of 8 bits, run by onnxruntime and tokenizers alone.

Weights of matrix products are rounded column by column to 8 bits and their inputs row by row while it runs (dynamic
quantisation: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv:1712.05877, without the training). Attention, GELU and layer norms are fused first.
"""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragkit.errors import MissingExtra
from ragkit.models.onnx_trace import BATCH, BATCH_AND_LENGTH, write_onnx

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
_FLOAT = 1
"""onnx.TensorProto.FLOAT"""


def export_int8(
    network: Any, tokenizer_folder: Path, to: Path, *, window: int, outputs: Sequence[str] = ("logits",)
) -> Path:
    """Write `to` with `model.onnx`, the config and the tokenizer; returns the path of the ONNX file.

    Args:
        network: A BertForSequenceClassification with one label, or a BertForQuestionAnswering.
        tokenizer_folder: Where its tokenizer files are.
        to: The folder to write; made if it is not there. What it held under the same names is replaced.
        outputs: What the network gives, in its order: `logits`, or `start_logits` and `end_logits`.
        window: Tokens of a pair that it was trained with; longer pairs are cut there.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
    """
    to.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(tokenizer_folder, to, window)
    config = network.config.to_dict() | {
        "architectures": [type(network).__name__],
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
    }
    (to / "config.json").write_text(json.dumps(config, indent=2, default=str), "utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.onnx"
        _export(network, plain, outputs)
        _fuse_and_quantise(plain, to / "model.onnx", network.config)
    return to / "model.onnx"


def copy_tokenizer(folder: Path, to: Path, window: int) -> None:
    """The tokenizer's files, with the window that the model reads."""
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copy(folder / name, to / name)
    settings = json.loads((to / "tokenizer_config.json").read_text("utf-8"))
    (to / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": window}, indent=2), "utf-8")


def _export(network: Any, to: Path, outputs: Sequence[str]) -> None:
    network = network.eval().float().cpu()
    network.set_attn_implementation("eager")
    axes = {name: BATCH if name == "logits" else BATCH_AND_LENGTH for name in outputs}
    write_onnx(network, to, ("input_ids", "attention_mask", "token_type_ids"), axes)


def _fuse_and_quantise(plain: Path, to: Path, config: Any) -> None:
    try:
        optimizer: Any = importlib.import_module("onnxruntime.transformers.optimizer")
        quantization: Any = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise MissingExtra("onnxruntime or onnx", "train") from error
    fused: Any = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    file = plain.with_name("fused.onnx")
    fused.save_model_to_file(str(file))
    partial = to.with_suffix(".part")
    advice = logging.root.manager.disable
    logging.disable(logging.WARNING)  # to run what was run just now
    try:
        quantization.quantize_dynamic(
            str(file),
            str(partial),
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # 7 bits of weights: with 8 the sums overflow on processors without VNNI
            extra_options={"DefaultTensorType": _FLOAT},  # of the fused operators, whose outputs onnx cannot infer
        )
    finally:
        logging.disable(advice)
    partial.replace(to)
