"""A small model of sentence-transformers' SparseEncoder, made here: real classes and files, weights set by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

WORDS = ("amber", "battery", "birch", "cedar", "hub", "pump", "sensor", "valve", "pressure", "port", "hours", "manual")
LIKE = {"pump": "valve"}
"""A word that gives weight to another one, too."""


def make_splade_model(folder: Path, window: int = 128) -> Path:
    """A masked-LM model without layers that names each of `WORDS` where it stands, and what is `LIKE` it."""
    import torch

    transformers: Any = importlib.import_module("transformers")
    modules: Any = importlib.import_module("sentence_transformers.sparse_encoder.modules")
    sentence_transformers: Any = importlib.import_module("sentence_transformers")
    bare = folder / "bare"
    bare.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (bare / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokens: Any = importlib.import_module("tokenizers")
    tokenizer = tokens.Tokenizer(
        tokens.models.WordPiece({word: n for n, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokens.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokens.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokens.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=window,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(bare)
    size = 4 * len(vocabulary)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=size,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=size,
        max_position_embeddings=window,
        hidden_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    network = transformers.BertForMaskedLM(config)
    head = network.cls.predictions
    with torch.no_grad():
        network.bert.embeddings.position_embeddings.weight.zero_()
        network.bert.embeddings.token_type_embeddings.weight.zero_()
        words = torch.zeros((len(vocabulary), size))
        words[:, : len(vocabulary)] = torch.eye(len(vocabulary))
        for word, other in LIKE.items():
            words[vocabulary.index(word), vocabulary.index(other)] = 0.6
        network.bert.embeddings.word_embeddings.weight.copy_(words)
        head.transform.dense.weight.copy_(torch.eye(size))
        head.transform.dense.bias.fill_(12.0)  # where a GELU is a line
        head.bias.fill_(-1.0)
        head.bias[:5] = -100.0
    network.save_pretrained(bare)
    transformer = modules.Transformer(str(bare), transformer_task="fill-mask", max_seq_length=window)
    sentence_transformers.SparseEncoder(modules=[transformer, modules.SpladePooling("max")]).save_pretrained(
        str(folder)
    )
    assert json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return folder
