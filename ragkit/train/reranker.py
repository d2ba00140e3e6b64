"""Train a reranker on the user's own index, and say whether it helps there.

questions - part by document - mine wrong passages - train - choose its weight - compare - helps?

The passages of documents that questions of the tuning and the test part ask about are not in the training, neither as
right ones nor as wrong ones. The weight is chosen on the tuning part; the test part is looked at once.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.config.edit import Scalar
from ragkit.config.keys import KeyPath
from ragkit.errors import ConfigError, ModelError
from ragkit.train.batches import CLS, Material, material_of
from ragkit.train.checkpoint import load_trained, save_trained
from ragkit.train.compared import (
    Gain,
    KnownScores,
    Searched,
    best_weight,
    gain,
    known_questions,
    values,
)
from ragkit.train.course import (
    PASSES,
    SAVE_EVERY_S,
    Steps,
    Told,
    card_rows,
    check_packages,
    in_time,
    listed,
    outcome,
    planned,
    time_to_train,
    trained_in_words,
)
from ragkit.train.cross_encoder import Settings, base_network, train
from ragkit.train.folder import RunFolder, card, read_facts
from ragkit.train.passages import Made, mined_sets
from ragkit.train.questions import Asked, Labelled, Parts

if TYPE_CHECKING:
    from ragkit.rerank import Reranker
    from ragkit.system import Ragkit

DEPTH = 30
"""Wrong passages that are kept for each question."""
_TIMED = 7
"""Questions over which the time of reranking is measured."""


@dataclass(frozen=True, slots=True)
class RerankerSettings:
    """How to train. `steps` None takes as many as `minutes` allow, but no more than see each question four times.

    `sentences` and `headings` are how many made questions are added to the labelled ones; they are never reported on.
    """

    base: str = "all-MiniLM-L6-v2"
    layers: tuple[int, ...] | None = None
    steps: int | None = None
    minutes: float = 20.0
    sentences: int = 0
    headings: int = 0
    lists: int = 8
    wrong: int = 7
    rate: float = 6e-5
    seed: int = 0


@dataclass(slots=True)
class Result:
    """A trained reranker, what it adds over what, and what the config must say to use it."""

    folder: RunFolder
    weight: float
    gains: list[Gain]
    present: Gain | None
    """What the reranker that is configured now adds over none."""
    milliseconds: float
    synthetic: bool
    """Whether the questions that it was measured on are all made."""
    changes: dict[KeyPath, Scalar] = field(default_factory=dict[KeyPath, Scalar])

    @property
    def helps(self) -> bool:
        return all(each.shown for each in self.gains)


def base_folder(reference: str) -> Path:
    """The folder of a BERT to begin with. Raises ModelError for another kind of model."""
    import json

    from tokenizers import Tokenizer

    from ragkit.models.resolve import on_this_machine

    folder = on_this_machine(reference).folder
    mend = "name a BERT with its own tokenizer, such as all-MiniLM-L6-v2"
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        begins = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("[CLS]")
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{reference} in {folder} cannot be read as a model", mend=mend) from error
    if kind != "bert" or begins != CLS:
        raise ModelError(f"{reference} is a {kind}, and rerankers are trained from a BERT", mend=mend)
    return folder


def train_reranker(
    rag: Ragkit,
    asked: Asked,
    parts: Parts,
    settings: RerankerSettings,
    folder: RunFolder,
    told: Told,
    progress: Steps | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> Result:
    """Train, choose the weight, compare; the model is in `folder` afterwards. The config is not changed here.

    A run that was killed goes on where its last checkpoint was (one every `save_every_s` seconds). Raises RagkitError
    without questions to train on, ModelError for a base that is no BERT, ConfigError for layers that it does not have,
    MissingExtra without torch or onnx.
    """
    base = base_folder(settings.base)
    check_layers(base, settings.layers)
    check_reranker_packages()
    facts: dict[str, Any] = {"settings": asdict(settings), "questions": asked.counts}
    if folder.finished:
        facts = read_facts(folder.path)
        told("training", f"{folder.path} was trained before")
        model = folder.path
    else:
        model, trained = _trained(rag, parts, base, settings, folder, told, progress, save_every_s)
        facts |= trained
    from ragkit.rerank.cross_encoder import load_cross_encoder

    result = measured(rag, parts, load_cross_encoder(str(model.absolute())), folder, settings.seed, told)
    facts |= {"weight": result.weight, "rerank_ms": round(result.milliseconds), "synthetic_test": result.synthetic}
    facts["gains"] = [each.as_dict() for each in result.gains]
    said = card("Reranker", _says(result), _rows(facts))
    if folder.finished:
        folder.describe(facts, said)
    else:
        folder.publish(model, facts, said)
    return result


def check_reranker_packages() -> None:
    """Raise MissingExtra for a package that is not installed."""
    check_packages("torch", "transformers", extra="local")
    check_packages("onnx", "onnxruntime", extra="train")


def check_layers(base: Path, layers: Sequence[int] | None) -> None:
    """Raise ConfigError for layers that a base does not have, or that are named twice."""
    count = _layers_of(base)
    if layers is None:
        return
    named = ",".join(map(str, layers))
    if wrong := [str(layer) for layer in layers if not 0 <= layer < count]:
        raise ConfigError(
            f"--layers {named}: the base has no layer {', '.join(wrong)}",
            mend=f"its {count} layers are 0 to {count - 1}",
        )
    if len(set(layers)) < len(layers) or not layers:
        raise ConfigError(f"--layers {named}: name each layer once")


def _trained(
    rag: Ragkit,
    parts: Parts,
    base: Path,
    settings: RerankerSettings,
    folder: RunFolder,
    told: Told,
    progress: Steps | None,
    save_every_s: float,
) -> tuple[Path, dict[str, Any]]:
    import torch

    from ragkit.train.export import export_int8

    material, counts = _material(rag, parts, base, settings, told)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers = settings.layers or tuple(range(_layers_of(base)))
    how = Settings(
        layers,
        lists=settings.lists,
        wrong=settings.wrong,
        rate=settings.rate,
        seed=settings.seed,
        window=_positions_of(base),
        save_every_s=save_every_s,
    )
    network = base_network(base, layers, settings.seed, dropout=0.1).to(device)
    everything = np.arange(len(material.positives))
    plan = planned(
        folder,
        settings.steps,
        settings.minutes,
        PASSES * len(everything) / settings.lists,
        lambda: _seconds_of_a_step(network, material, everything, how),
        told,
    )
    told("time", _forecast(plan, how, parts, rag.config.retrieval.reranking.candidates, device))
    how = replace(how, steps=plan["steps"])
    weights, model = folder.work / "weights.safetensors", folder.work / "model"
    done: dict[str, Any] = plan.get("done", {})
    if weights.is_file() and done:
        load_trained(network, weights)
    else:

        def step(number: int, _: float, loss: float) -> None:
            if progress is not None:
                progress(number, plan["steps"], loss)

        done = train(network, material, everything, how, checkpoint=folder.checkpoint, progress=step)
        save_trained(network, weights)
        folder.decide({**plan, "done": done})
    told("trained", trained_in_words(done))
    export_int8(network, base, model, window=how.window)
    facts = {**done, "device": device, "layers": layers, "trained_on": counts, "base": settings.base}
    return model, facts


def _material(
    rag: Ragkit, parts: Parts, base: Path, settings: RerankerSettings, told: Told
) -> tuple[Material, dict[str, int]]:
    """All that is trained on, with its wrong passages, as token ids."""
    from tokenizers import Tokenizer

    made = Made(settings.sentences, settings.headings)
    corpus, mined = mined_sets(rag.snapshot().store, rag.embedder, parts, made, DEPTH, settings.seed)
    pools = [np.pad(one.wrong, ((0, 0), (0, DEPTH - one.wrong.shape[1])), constant_values=-1) for one in mined]
    sets = [one.examples for one in mined]
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counts = {one.name: len(one.examples) for one in sets}
    each = float(np.mean(np.concatenate([(pool >= 0).sum(1) for pool in pools])))
    told(
        "training on",
        f"{listed(counts)}; {each:.0f} wrong passages each from {len(corpus.chunks):,} chunks of other documents than"
        " those it is measured on",
    )
    return material_of(sets, pools, tokenizer), counts


def _seconds_of_a_step(network: Any, material: Material, allowed: Any, how: Settings) -> float:
    """Measured on a copy of the network: two steps after one that warms up."""
    import torch

    scratch = copy.deepcopy(network)
    random = torch.get_rng_state()
    train(scratch, material, allowed, replace(how, steps=1))
    began = time.perf_counter()
    train(scratch, material, allowed, replace(how, steps=2))
    torch.set_rng_state(random)
    return (time.perf_counter() - began) / 2


def _forecast(plan: dict[str, Any], how: Settings, parts: Parts, candidates: int, device: str) -> str:
    pair_s = plan["seconds_a_step"] / (how.lists * (how.wrong + 1)) / 3  # of three passes scoring is one
    held_out = len(parts.tuning) + len(parts.test)
    measuring = in_time(held_out * candidates * pair_s)
    return f"{time_to_train(plan, device)}, at most {measuring} to measure on {held_out} held-out questions"


def measured(rag: Ragkit, parts: Parts, reranker: Reranker, folder: RunFolder, seed: int, told: Told) -> Result:
    """Choose the weight on the tuning part, then compare on the test part with no reranker and with the present one."""
    config, snapshot = rag.config, rag.snapshot()
    known = KnownScores(reranker)
    embedder = known_questions(rag.embedder, [*parts.tuning, *parts.test])
    now = Searched(snapshot.store, embedder, config.retrieval, rag.reranker, rag.rewriter())
    without = now.weighing(None, 1.0)
    weight, means = best_weight(parts.tuning, now, known)
    first = float(np.mean(values(parts.tuning, without)))
    tried = ", ".join(f"{each:g}: {mean:.3f}" for each, mean in means.items())
    told("weight", f"{weight:g}, chosen on {len(parts.tuning)} other questions (nDCG@10 none: {first:.3f}, {tried})")
    after = values(parts.test, now.weighing(known, weight))
    before = values(parts.test, without)
    gains = [gain("no reranker", parts.test, before, after, seed)]
    present = None
    if rag.reranker is not None:
        with_present = values(parts.test, now)
        name = f"the present reranker ({config.retrieval.reranking.model or config.retrieval.reranking.base_url})"
        gains.append(gain(name, parts.test, with_present, after, seed))
        present = gain("no reranker", parts.test, before, with_present, seed)
    reranking = ("retrieval", "reranking")
    return Result(
        folder,
        weight,
        gains,
        present,
        _milliseconds(reranker, parts.test, without),
        all(each.case.synthetic for each in parts.test),
        {
            (*reranking, "backend"): "cross_encoder",
            (*reranking, "model"): folder.reference,
            (*reranking, "weight"): weight,
        },
    )


def _milliseconds(reranker: Reranker, labelled: Sequence[Labelled], searched: Searched) -> float:
    """Median time to score the candidates of a question."""
    from ragkit.retrieve.retriever import retrieve

    candidates = searched.retrieval.reranking.candidates
    retrieval = searched.retrieval.model_copy(update={"top_k": candidates})
    spent: list[float] = []
    for each in labelled[:_TIMED]:
        found = retrieve(each.case.question, searched.store, searched.embedder, retrieval, None).results
        began = time.perf_counter()
        reranker.scores(each.case.question, [result.chunk.indexed_text for result in found])
        spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spent)


def _layers_of(base: Path) -> int:
    return int(_config_of(base).get("num_hidden_layers", 12))


def _positions_of(base: Path) -> int:
    return int(_config_of(base).get("max_position_embeddings", 512))


def _config_of(base: Path) -> dict[str, Any]:
    import json

    return json.loads((base / "config.json").read_text(encoding="utf-8"))


def _says(result: Result) -> str:
    return (
        "A cross-encoder trained on one index, for that index. It holds no text of it, but it learned from all of it. "
        + outcome(result.helps)
    )


def _rows(facts: dict[str, Any]) -> dict[str, Any]:
    own = {
        "layers": len(facts.get("layers", ())),
        "retrieval.reranking.weight": facts["weight"],
        "milliseconds a question": facts["rerank_ms"],
    }
    return card_rows(facts, own)
