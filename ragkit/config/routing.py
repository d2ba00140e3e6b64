"""Section `routing` of the configuration: several endpoints behind one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr, model_validator

from ragkit.config.part import Address, Part, runtime

if TYPE_CHECKING:
    from ragkit.config.schema import Generation

OVERRIDES = ("backend", "model", "citations", "max_tokens", "context_tokens", "prompt_cache", "timeout_s")
"""Keys of an endpoint that stand for those of `generation` where they are set."""
WHERE = ("base_url", "api_key", "api_version")
"""Keys that say where a model is; an endpoint with an address of its own takes none of them over, so that no key is
sent to an address that it is not for."""


class Endpoint(Part):
    """One place that can write an answer. What is left out is that of `generation`."""

    name: str = Field(min_length=1, max_length=100)
    """What it is called in answers, cost lines and logs."""
    backend: Literal["extractive", "openai", "vllm", "llama_cpp"] | None = None
    model: str | None = None
    citations: Literal["names", "tags", "grammar", "json_schema"] | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    context_tokens: int | None = Field(default=None, ge=128, le=10_000_000)
    prompt_cache: Literal["none", "openai", "anthropic"] | None = runtime(
        None,
        description="As generation.prompt_cache; an endpoint with an address of its own has none if it is left out.",
    )
    base_url: Address | None = runtime(
        None, description="openai: address; with it, api_key and api_version are not those of generation."
    )
    api_key: SecretStr | None = runtime(None, strict=False, description="openai: key; use ${OPENAI_API_KEY}.")
    api_version: str | None = runtime(None, description="openai: set for Azure, e.g. 2024-10-21.")
    timeout_s: float | None = runtime(
        None,
        gt=0,
        le=86_400,
        description="Time limit of one try; null takes half of what is left of the request's time while another"
        " endpoint can be tried, and then all of it.",
    )
    weight: float = runtime(1.0, ge=0, le=1e6, description="weighted: share of the questions; 0 only stands in.")
    max_concurrent: int | None = runtime(None, ge=1, le=100_000, description="Most calls at once; null is no limit.")

    def over(self, generation: Generation) -> Generation:
        """The settings of `generation` with those of this endpoint in their place.

        Raises ValueError where they do not go together.

        >>> from ragkit.config.schema import Generation
        >>> Endpoint(name="a", model="m", base_url="http://a/v1").over(Generation(max_tokens=9)).max_tokens
        9
        """
        from ragkit.config.schema import Generation as Settings

        own = {key: value for key in (*OVERRIDES, *WHERE) if (value := getattr(self, key)) is not None}
        if self.base_url is not None or self.backend not in (None, generation.backend):
            own |= {key: getattr(self, key) for key in WHERE} | {"prompt_cache": self.prompt_cache or "none"}
        given = {name: getattr(generation, name) for name in generation.model_fields_set}
        return Settings.model_validate({**given, **own})


Task = Literal["reasoning", "classification", "extraction", "summarisation", "code"]
"""What a question asks of a model. Embeddings are no such task: the index knows one model only."""


class Pair(Part):
    """Two endpoints for a task, by their names."""

    best: str
    economical: str


class Rule(Part):
    """Which questions go to which endpoints: those for which all that is set holds."""

    endpoints: list[str] = Field(min_length=1)
    """Names of endpoints, in the order in which they are tried; no other is."""
    task: str | None = None
    """What the caller says the question is, such as summarisation or code."""
    tenant: str | None = None
    min_length: int | None = Field(default=None, ge=0)
    """Characters of the question, at least."""
    max_length: int | None = Field(default=None, ge=0)
    """Characters of the question, at most."""
    metadata: dict[str, str | int | float | bool] = Field(default_factory=dict[str, "str | int | float | bool"])
    """Fields and values that a passage has which was found for the question, one passage for each."""


class Breaker(Part):
    """When an endpoint that fails is left alone, and when one call tries whether it works again."""

    failures: int = runtime(8, ge=1, le=10_000, description="Failed calls in a row that make it be left alone.")
    open_s: float = runtime(5.0, gt=0, le=86_400, description="How long it is left alone.")


class Score(Part):
    """How likely an endpoint's answer is as good as that of the dearest: a logistic model over what speaks for it.

    The keys are those of `ragkit.gateway.cascade.SIGNALS`.
    """

    intercept: float = 0.0
    confidence: float = 0.0
    margin: float = 0.0
    groundedness: float = 0.0
    coverage: float = 0.0
    agreement: float = 0.0
    words: float = 0.0
    context: float = 0.0


class Cascade(Part):
    """cascade: when the answer of a cheap endpoint does. `ragkit router fit` finds `scores` and `threshold`."""

    min_confidence: float = Field(default=0.3, ge=0, le=1)
    """Chance, estimated from the search, that the evidence answers; below it the cheap endpoint is not asked."""
    min_groundedness: float = Field(default=0.5, ge=0, le=1)
    """Chance that people call the cheap answer's least backed sentence backed; below it the others are asked."""
    scores: dict[str, Score] = Field(default_factory=dict[str, Score])
    """For each endpoint whose answer is looked at, by name; they are asked in their order, and `min_confidence` and
    `min_groundedness` are not read. Without scores it is the first endpoint only."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """With scores: an answer that is less likely as good as that of the dearest endpoint does not do."""


class Routing(Part):
    """Several endpoints behind one question. Without endpoints there is one model, that of `generation`."""

    endpoints: list[Endpoint] = Field(default_factory=list[Endpoint])
    policy: Literal["single", "fallback", "weighted", "rules", "tasks", "cascade"] = "fallback"
    """Who is asked: the first endpoint only; each in its order when those before cannot answer; one by chance, by
    weight, then the others; by `rules`; by `tasks`; or the first, and the others where its answer does not do."""
    rules: list[Rule] = Field(default_factory=list[Rule])
    """rules: the first that holds; where none does, all endpoints in their order."""
    tasks: dict[Task, Pair] = Field(default_factory=dict[Task, Pair])
    """tasks: the endpoints for what a question asks of a model, which the caller says (`task`) or its words do; of a
    pair the one stands in for the other. A task that is not named here goes to all endpoints in their order."""
    prefer: Literal["best", "economical"] = "best"
    """tasks: which of a pair is asked first."""
    cascade: Cascade = Cascade()
    breaker: Breaker = Breaker()
    deadline_s: float = runtime(
        60.0, gt=0, le=86_400, description="Time of a request, from the question to the answer."
    )
    wait_s: float = runtime(
        10.0, ge=0, le=86_400, description="Most of that time to wait for an endpoint that is busy or left alone."
    )
    attempts: int = runtime(8, ge=1, le=100, description="Most tries of a request.")
    paid_attempts: int = runtime(
        4, ge=1, le=100, description="Most tries that may cost something: one that a server refused does not."
    )
    hedge_after_s: float | None = runtime(
        None, gt=0, le=86_400, description="Ask another endpoint too where the first is not through by then."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Routing:
        names = [endpoint.name for endpoint in self.endpoints]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two endpoints are called {min(twice)}")
        if unknown := {name for rule in self.rules for name in rule.endpoints} - set(names):
            raise ValueError(f"a rule names {min(unknown)}, which is none of endpoints")
        if unknown := {name for pair in self.tasks.values() for name in (pair.best, pair.economical)} - set(names):
            raise ValueError(f"tasks names {min(unknown)}, which is none of endpoints")
        if self.policy == "tasks" and self.endpoints and not self.tasks:
            raise ValueError("policy tasks needs tasks")
        if self.policy == "rules" and self.endpoints and not self.rules:
            raise ValueError("policy rules needs rules")
        if self.policy == "cascade" and len(self.endpoints) == 1:
            raise ValueError("policy cascade needs two endpoints, the cheap one first")
        if stray := set(self.cascade.scores) - set(names):
            raise ValueError(f"cascade.scores names {min(stray)}, which is none of endpoints")
        judged = [each for each in self.endpoints if each.name in self.cascade.scores] or self.endpoints[:1]
        if self.policy == "cascade" and (short := self.too_few_tries(judged)):
            raise ValueError(short)
        if names and names[-1] in self.cascade.scores:
            raise ValueError(f"cascade.scores has {names[-1]}, the last endpoint: nobody is left to ask instead")
        return self

    def too_few_tries(self, cheap: Sequence[Endpoint]) -> str:
        """Why a cascade with these cheap endpoints never asks its last one, "" if it does. What quotes documents is not
        paid.

        >>> two = [Endpoint(name="a"), Endpoint(name="b")]
        >>> Routing(endpoints=two, paid_attempts=1).too_few_tries(two[:1])
        'paid_attempts is 1, which the 1 cheap endpoints of the cascade use up: raise it'
        """
        paid = sum(each.backend != "extractive" for each in cheap)
        for key, tries, used in (("attempts", self.attempts, len(cheap)), ("paid_attempts", self.paid_attempts, paid)):
            if used and tries <= used:
                return f"{key} is {tries}, which the {used} cheap endpoints of the cascade use up: raise it"
        return ""
