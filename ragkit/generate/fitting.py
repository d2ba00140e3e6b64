"""As many passages as the model's own window has room for, counted by its own tokenizer and template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ragkit.config.schema import Generation
from ragkit.errors import ModelError
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import Message, Packed, SplitSentences, build_messages
from ragkit.generate.sentence_terms import nearest_to
from ragkit.types import ScoredChunk

_LEAST_ROOM = 96  # tokens of passages: a few sentences


def fit(
    question: str,
    results: Sequence[ScoredChunk],
    config: Generation,
    window: int,
    count: Callable[[str], int],
    encode: Callable[[Sequence[Message]], list[int]],
    split_sentences: SplitSentences,
) -> tuple[Packed, list[int]]:
    """The passages that go into the prompt, and the tokens of the prompt with them.

    Raises ModelError if the question alone leaves no room for passages, ConfigError as `pack`.
    """
    style, room, budget = config.citations, window - config.max_tokens, config.context_tokens
    while True:
        packed = packed_for(question, results, config, budget, count, split_sentences)
        nearest = nearest_to(question, packed.chunks, style, split_sentences)
        prompt = encode(build_messages(config, question, packed.chunks, nearest))
        over = len(prompt) - room
        if over <= 0:
            return packed, prompt
        budget = packed.tokens - over
        if budget < _LEAST_ROOM:
            raise ModelError(
                f"the question does not fit: {len(prompt):,} tokens with the system prompt, and the model reads"
                f" {window:,}, {config.max_tokens:,} of them kept for the answer",
                mend="ask a shorter question, or lower generation.max_tokens",
            )


def rendered(messages: Sequence[Message], template: Callable[[Sequence[Mapping[str, str]]], str]) -> str:
    """The conversation by the model's own chat template.

    Some templates know no system prompt and refuse it; it then begins what the user says. Raises ModelError if the
    template fails all the same.
    """
    plain: list[dict[str, str]] = [{"role": message["role"], "content": message["content"]} for message in messages]
    merged = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
    failure: Exception | None = None
    for conversation in (plain, merged):
        try:
            return template(conversation)
        except Exception as error:  # Jinja's own, or whatever the template raises by `raise_exception`.
            failure = error
    raise ModelError(f"the model's chat template fails: {failure}", mend="take another model") from failure
