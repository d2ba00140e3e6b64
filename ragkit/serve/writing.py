"""Texts that the configured language model writes beside an answer, charged to the caller as an answer is."""

from __future__ import annotations

import time

from ragkit.gateway.cost import cost_lines
from ragkit.generate.plain_text import plain_writer
from ragkit.observe.trace import trace_id
from ragkit.serve.conversation import Write
from ragkit.serve.gate import Admitted
from ragkit.types import Answer


def writer(admitted: Admitted) -> Write | None:
    """What writes for conversations; None where the config leaves it to rules, or has no model for it."""
    if admitted.rag.config.serve.condense == "rules" or not admitted.rag.config.can_write:
        return None
    return lambda request, most: written(admitted, request, most)


def written(admitted: Admitted, request: str, max_tokens: int) -> str | None:
    """What the model writes at temperature 0; None where the caller's budget allows no model.

    Raises BudgetExceeded, ServiceError, and ConfigError without a model that can be asked.
    """
    rag = admitted.rag
    write = plain_writer(rag.generator)
    with rag.spending.call(request, admitted.caller.payer) as call:
        if call.free:
            return None
        began = time.perf_counter()
        text, usage = write(request, max_tokens)
        timings = {"rewrite": (time.perf_counter() - began) * 1e3}
        model = rag.config.generation.model or ""
        lines = cost_lines(rag.config, (), timings, rewriting=usage)
        call.noted(Answer(text, False, (), (), model, rag.config_hash, trace_id(), timings, usage=usage, cost=lines))
    return text
