"""What of the passages stood in the prompt of an endpoint, worked out anew: a record of an answer does not keep it.

With `generation.packing: sentences`, and where a passage was too long, that is less than the passages. How much less
goes by the endpoint's own budget and its own tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragkit.config.schema import Generation
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import SplitSentences
from ragkit.types import Chunk, ScoredChunk

Packer = Callable[[str, Sequence[ScoredChunk]], tuple[Chunk, ...]]


def packer(generation: Generation, split_sentences: SplitSentences) -> Packer:
    """For a question and its passages the chunks, or parts of them, that a generator with these settings reads.

    Raises what loading the model of llama_cpp or the tokenizer of vllm does.
    """
    if generation.backend == "extractive":
        return lambda _, results: tuple(result.chunk for result in results[: generation.context_chunks])
    if generation.backend == "llama_cpp":
        return _in_window(generation, split_sentences)
    count = _vllm_counter(generation) if generation.backend == "vllm" else _openai_counter()
    budget = generation.context_tokens
    return lambda question, results: packed_for(question, results, generation, budget, count, split_sentences).chunks


def _in_window(generation: Generation, split_sentences: SplitSentences) -> Packer:
    from ragkit.generate.fitting import fit
    from ragkit.generate.llama_model import LlamaModel

    model = LlamaModel(generation)

    def packed(question: str, results: Sequence[ScoredChunk]) -> tuple[Chunk, ...]:
        found, _ = fit(question, results, generation, model.window, model.count, model.prompt, split_sentences)
        return found.chunks

    return packed


def _openai_counter() -> Callable[[str], int]:
    from ragkit.embed.openai_tokens import count_tokens

    return count_tokens


def _vllm_counter(generation: Generation) -> Callable[[str], int]:
    """By the tokenizer alone: the engine would take the accelerator's memory. Its window has room for the budget."""
    from typing import Any

    import transformers

    from ragkit.generate.vllm import ChatPrompts, model_folder

    untyped: Any = transformers.AutoTokenizer
    model = generation.model or ""
    return ChatPrompts(untyped.from_pretrained(model_folder(model), local_files_only=True), model).count
