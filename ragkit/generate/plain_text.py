"""Plain text from the configured chat model: for jobs beside the answer, such as other wordings of a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError
from ragkit.types import Usage

if TYPE_CHECKING:
    from ragkit.generate import Generator

Write = Callable[[str, int], tuple[str, Usage]]
"""A request and the most tokens of the text, to the text and the tokens that it took."""


def plain_writer(generator: Generator) -> Write:
    """What asks the model of a generator, at temperature 0, for a text; it raises what the generator raises.

    Raises ConfigError for a generator whose model cannot be asked so.
    """
    from ragkit.gateway.routing import RoutedGenerator
    from ragkit.generate.llama_cpp import LlamaCppGenerator
    from ragkit.generate.openai import OpenAIGenerator

    if isinstance(generator, (OpenAIGenerator, LlamaCppGenerator, RoutedGenerator)):
        return generator.write
    raise ConfigError("no language model can be asked", mend="set generation.backend to openai or llama_cpp")
