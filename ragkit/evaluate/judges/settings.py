"""One entry of a suite's `judges`: which judge, by which model, of what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from ragkit.config.part import Address, Part, runtime

Kind = Literal["lexical", "embedding", "llm", "ragas"]

MEASURES: dict[Kind, tuple[str, ...]] = {
    "lexical": ("support", "correctness"),
    "embedding": ("support",),
    "llm": ("groundedness", "correctness"),
    "ragas": ("faithfulness", "answer_relevancy", "context_precision", "context_recall"),
}


class JudgeSettings(Part):
    kind: Kind
    """By words, by embeddings, by one call of a language model, or by the metrics of the package ragas."""
    measures: list[str] | None = Field(default=None, min_length=1)
    """lexical: support, correctness; embedding: support; llm: groundedness, correctness; ragas: faithfulness,
    answer_relevancy, context_precision, context_recall. Left out, all of them."""
    backend: Literal["openai", "llama_cpp"] = "openai"
    """llm: a server that speaks OpenAI's chat completions, or a GGUF model in this process."""
    model: str | None = None
    """llm, ragas: the model's name at the API, or with llama_cpp that of a generation model of `ragkit models list`."""
    base_url: Address | None = None
    """llm, ragas: address of the API, up to and including /v1; left out, OpenAI's. Part of the judge's version, for
    two servers may call two models the same."""
    context_tokens: int = Field(default=4096, ge=256, le=1_000_000)
    """llama_cpp: room for question, evidence and answer together."""
    max_tokens: int | None = Field(default=None, ge=16, le=1_000_000)
    """Longest reply of the model; left out, 256 (llm) or 4096 (ragas, whose replies list statements)."""
    api_key: SecretStr | None = runtime(None, strict=False, description="llm, ragas: key; use ${OPENAI_API_KEY}.")
    timeout_s: float = runtime(120.0, gt=0, le=86_400, description="llm, ragas: time limit of one verdict.")
    threads: int | None = runtime(None, ge=1, le=256, description="llama_cpp: CPU threads; null takes one per core.")
    gpu_layers: int = runtime(0, ge=-1, description="llama_cpp: layers on a GPU; -1 puts all there.")

    @model_validator(mode="after")
    def _complete(self) -> JudgeSettings:
        known = MEASURES[self.kind]
        for measure in self.measures or ():
            if measure not in known:
                raise ValueError(f"{self.kind} has no measure {measure}; known: {', '.join(known)}")
        if self.kind in ("llm", "ragas") and not self.model:
            raise ValueError(f"kind {self.kind} needs model, e.g. qwen2.5-coder-1.5b-instruct")
        if self.kind == "ragas" and self.backend != "openai":
            raise ValueError("ragas calls a server: backend is openai, and base_url its address")
        return self

    @property
    def wanted(self) -> tuple[str, ...]:
        """The measures that are asked for, each once, in the judge's own order."""
        known = MEASURES[self.kind]
        return known if self.measures is None else tuple(name for name in known if name in self.measures)
