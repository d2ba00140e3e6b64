"""Plain text from the configured chat model: for jobs beside the answer, such as other wordings of a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError
from ragkit.generate.prompt import Message
from ragkit.types import Usage

if TYPE_CHECKING:
    from ragkit.generate import Generator
    from ragkit.generate.llama_model import LlamaModel

Write = Callable[[str, int], tuple[str, Usage]]
"""A request and the most tokens of the text, to the text and the tokens that it took."""


def plain_writer(generator: Generator) -> Write:
    """What asks the model of a generator, at temperature 0, for a text; it raises what the generator raises.

    Raises ConfigError for a generator whose model cannot be asked so.
    """
    from ragkit.generate.llama_cpp import LlamaCppGenerator
    from ragkit.generate.openai import OpenAIGenerator

    if isinstance(generator, OpenAIGenerator):
        return generator.write
    if isinstance(generator, LlamaCppGenerator):
        return _llama_writer(generator.model)
    raise ConfigError("no language model can be asked", mend="set generation.backend to openai or llama_cpp")


def _llama_writer(model: LlamaModel) -> Write:
    from ragkit.generate.llama_model import Completion

    def write(request: str, max_tokens: int) -> tuple[str, Usage]:
        completion, messages = Completion(), [Message(role="user", content=request)]
        for _ in model.complete(model.prompt(messages), completion, max_tokens=max_tokens, temperature=0.0):
            pass
        return completion.text.strip(), completion.usage

    return write
