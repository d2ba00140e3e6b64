"""Ask many questions through a provider's batch interface: prepare, submit, wait, collect.

The ask path runs twice over each question. The first time its generator only notes the request that it would make; the
second time it reads the answer to that request out of the batch. So refusals, packing and the checks of citations are
those of every other answer, and what needs no model is answered at once. What is under way is noted beside the file of
answers: a run that ends, or is killed, is taken up by the same command.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.ask import ask
from ragkit.batch.interface import Batch, BatchInterface
from ragkit.durable import write_whole
from ragkit.errors import ConfigError, RagkitError
from ragkit.gateway.ledger import Payer
from ragkit.generate import Generated
from ragkit.generate.openai import OpenAIGenerator
from ragkit.types import Answer, ScoredChunk

if TYPE_CHECKING:
    from ragkit.batch.questions import AnswersFile, BatchQuestion
    from ragkit.config.schema import Config
    from ragkit.system import Ragkit

_DAY_S = 26 * 3600.0
"""A batch ends within 24 hours; then it has to be collected."""
Row = Callable[[Answer], dict[str, Any]]


class Noted(Exception):
    """The generator has noted the request of `key`, whose answer is still to come."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(slots=True)
class BatchGenerator:
    """A generator whose answers come in a batch: it reads those that have come and notes the requests of the others.

    Raises Noted for a question without an answer so far.
    """

    inner: OpenAIGenerator
    bodies: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    requests: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])
    read: list[str] = field(default_factory=list[str])
    """The keys of the answers that were read, in their order."""

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        body, packed = self.inner.request(question, results)
        key = key_of(body)
        if key not in self.bodies:
            self.requests[key] = body
            raise Noted(key)
        self.read.append(key)
        return self.inner.read(self.bodies[key], packed)

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        yield self.generate(question, results)

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        return self.generate(question, results)

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        yield self.generate(question, results)


def key_of(body: Mapping[str, object]) -> str:
    """The custom id of a request: the same for the same request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What was submitted. `batch` is empty between the upload and the beginning of the batch, `hold` without
    budgets."""

    config_hash: str
    input_file: str
    batch: str = ""
    hold: str = ""

    def write(self, path: Path) -> None:
        write_whole(path, json.dumps({name: getattr(self, name) for name in self.__slots__}))

    @staticmethod
    def read(path: Path) -> UnderWay | None:
        """What a run before has submitted, if anything. Raises ConfigError for a file that is none of these."""
        if not path.exists():
            return None
        try:
            return UnderWay(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} does not say what is under way", mend="remove it to submit the questions again"
            ) from error


def submit(
    rag: Ragkit, answers: AnswersFile, *, payer: Payer, as_row: Row, told: Callable[[], None]
) -> UnderWay | None:
    """Answer what needs no model, and submit the rest; None if nothing is left. What is under way already is taken up.

    Raises BudgetExceeded where the payer's budgets do not allow all of it at once, and ServiceError.
    """
    _check(rag.config)
    state = _state_of(answers)
    with BatchInterface(rag.config.generation) as interface:
        begun = UnderWay.read(state)
        if begun is not None and begun.config_hash != rag.config_hash:
            raise ConfigError(
                f"{state} is under way under another config ({begun.config_hash})",
                mend="collect it with that config, or name another --out",
            )
        if begun is None:
            requests, asking = _prepared(rag, answers, payer, as_row, told)
            if not requests:
                return None
            texts = [question.question for question in asking]
            hold = rag.spending.hold_for(texts, payer, rag.config.costs.batch_share, seconds=_DAY_S)
            begun = UnderWay(rag.config_hash, interface.upload(requests), hold=hold)
            begun.write(state)
        if not begun.batch:
            begun = replace(begun, batch=interface.create(begun.input_file).id)
            begun.write(state)
        return begun


def wait_for(config: Config, begun: UnderWay, *, every_s: float, told: Callable[[Batch], None]) -> Batch:
    """The batch when it has ended, however; `told` hears how far it is each time that it is looked at."""
    with BatchInterface(config.generation) as interface:
        while (batch := interface.look(begun.batch)).is_under_way:
            told(batch)
            time.sleep(every_s)
        told(batch)
        return batch


def collect(rag: Ragkit, answers: AnswersFile, begun: UnderWay, batch: Batch, *, payer: Payer, as_row: Row) -> None:
    """Check and write what came of a batch that has ended; what did not come is asked for by the next run."""
    with BatchInterface(rag.config.generation) as interface:
        bodies, failures = interface.outcomes(batch)
    generator = BatchGenerator(_openai(rag), bodies)
    stages = replace(rag.stages(), generator=generator)
    for question in list(answers.left.values()):
        try:
            answer = ask(question.question, stages)
        except Noted as noted:
            answers.add_error(question, failures.get(noted.key) or _lacking(batch))
        except RagkitError as error:
            answers.add_error(question, str(error))
        else:
            paid = generator.read and generator.read[-1] in generator.read[:-1]
            answer = _at_batch_price(answer, 0.0 if paid else rag.config.costs.batch_share)
            # Written to the ledger first: who is killed between the two is charged twice rather than not at all.
            rag.spending.given(answer, payer)
            answers.add(question, as_row(answer))
    if begun.hold:
        rag.spending.let_go(begun.hold)
    _state_of(answers).unlink(missing_ok=True)


def _check(config: Config) -> None:
    if config.routing.endpoints:
        raise ConfigError(
            "a batch goes to one provider, and routing.endpoints are set",
            mend="leave routing out of the config of the batch, or run it without --provider",
        )
    if config.retrieval.transforms:
        raise ConfigError(
            "retrieval.transforms ask a model or embed anew each time, so a prompt may not be the same twice",
            mend="leave retrieval.transforms out of the config of the batch, or run it without --provider",
        )


def _prepared(
    rag: Ragkit, answers: AnswersFile, payer: Payer, as_row: Row, told: Callable[[], None]
) -> tuple[dict[str, dict[str, object]], list[BatchQuestion]]:
    """The requests of what is left, and whose they are, one question for each; what is refused is answered."""
    generator = BatchGenerator(_openai(rag))
    stages = replace(rag.stages(), generator=generator)
    asking: dict[str, BatchQuestion] = {}
    for question in list(answers.left.values()):
        try:
            answer = ask(question.question, stages)
        except Noted as noted:
            asking.setdefault(noted.key, question)
        except RagkitError as error:
            answers.add_error(question, str(error))
        else:
            rag.spending.given(answer, payer)
            answers.add(question, as_row(answer))
        told()
    return generator.requests, list(asking.values())


def _openai(rag: Ragkit) -> OpenAIGenerator:
    generator = rag.generator
    if not isinstance(generator, OpenAIGenerator):
        raise ConfigError(
            "a batch interface is that of an OpenAI-compatible API", mend="set generation.backend: openai"
        )
    return generator


def _at_batch_price(answer: Answer, share: float) -> Answer:
    """The answer, its model at a share of the ordinary price: 0 for a request that another question has paid for."""
    lines = [
        replace(line, nano_usd=round(line.nano_usd * share), detail=f"{line.detail}, in a batch")
        if line.stage == "generate" and line.nano_usd is not None
        else line
        for line in answer.cost
    ]
    return replace(answer, cost=tuple(lines))


def _lacking(batch: Batch) -> str:
    if batch.status == "completed":
        return "the batch has no answer to this prompt: the documents may have changed since it was submitted"
    return f"the batch {batch.status}{f': {batch.said}' if batch.said else ''}"


def _state_of(answers: AnswersFile) -> Path:
    return answers.path.with_name(f"{answers.path.name}.batch")
