"""Vectors of texts for mining, in large batches on whatever device the encoder is on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.train.batches import CLS, PAD, SEP, Texts


def embedded(network: Any, texts: Texts, window: int, part: int = 512) -> NDArray[np.float32]:
    """Unit vectors of texts by the mean of an encoder's last states, as sentence-transformers does for MiniLM."""
    import torch

    device = next(network.parameters()).device
    lengths = np.minimum(np.diff(texts.starts), window - 2)
    order = np.argsort(lengths, kind="stable")
    vectors = np.empty((len(order), network.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), part):
            chosen = order[start : start + part]
            longest = int(lengths[chosen].max()) + 2
            ids = np.full((len(chosen), longest), PAD, dtype=np.int64)
            for row, number in enumerate(chosen):
                own = texts.of(int(number), window - 2)
                ids[row, : len(own) + 2] = [CLS, *own, SEP]
            given = torch.as_tensor(ids, device=device)
            mask = (
                torch.arange(longest, device=device)[None, :]
                < torch.as_tensor(lengths[chosen] + 2, device=device)[:, None]
            )
            states = network(input_ids=given, attention_mask=mask.long()).last_hidden_state.float()
            means = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            vectors[chosen] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
    return vectors
