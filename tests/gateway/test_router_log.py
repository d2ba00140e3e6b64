"""Answers of every endpoint, recorded by runs over real servers: what a cascade is fitted to is what it will see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ragkit import Config, Ragkit, load_config
from ragkit.cli.main import main
from ragkit.config.routing import Routing, Score
from ragkit.errors import RagkitError
from ragkit.evaluate.run import placed_config
from ragkit.evaluate.runs import Runs
from ragkit.evaluate.suite import LoadedSuite, load_suite
from ragkit.gateway.cascade import signals
from ragkit.gateway.router_fit import chances_of
from ragkit.gateway.router_log import Logged, logged, record
from ragkit.gateway.router_replay import replay
from tests.gateway.fault_server import FaultServer

pytestmark = pytest.mark.integration

THINGS = ("lamp", "kettle", "heater", "fan", "radio", "drill", "toaster", "saw", "camera", "pump", "mixer", "clock")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FaultServer, FaultServer]]:
    """Two models that say the same of everything; only of the lamp is it right."""
    says = ("The battery lasts ", "10 hours ", "[Source: lamp.md].")
    with FaultServer(model="small", says=says) as small, FaultServer(model="large", says=says) as large:
        yield small, large


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, servers: tuple[FaultServer, FaultServer]) -> Path:
    """Twelve documents, two questions about each; those about two are to report on. Beside it the config."""
    folder = tmp_path_factory.mktemp("router")
    (folder / "docs").mkdir()
    cases: list[dict[str, object]] = []
    for number, thing in enumerate(THINGS):
        text = f"# {thing}\n\nThe battery of the {thing} lasts {10 + number} hours. It weighs {number + 3} kg.\n"
        (folder / "docs" / f"{thing}.md").write_text(text, encoding="utf-8")
        for asked, answer in (("How long does the battery of the {} last?", 10), ("How much does the {} weigh?", 3)):
            case: dict[str, object] = {
                "id": f"{thing}-{answer}",
                "question": asked.format(thing),
                "answers": [str(answer + number)],
            }
            cases.append(case | {"evidence": [{"document": f"{thing}.md"}]})
    for name, rows in (("fit", cases[4:]), ("report", cases[:4])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    data = [{"path": "fit.jsonl", "part": "tuning"}, {"path": "report.jsonl"}]
    (folder / "suite.yaml").write_text(yaml.safe_dump({"name": "things", "corpus": ["docs"], "data": data}))
    small, large = servers
    endpoints = [
        {"name": "documents", "backend": "extractive"},
        {"name": "small", "model": "small", "base_url": small.url},
        {"name": "large", "model": "large", "base_url": large.url},
    ]
    prices = {"small": {"input": 1, "output": 2}, "large": {"input": 10, "output": 20}}
    config: dict[str, object] = {
        "generation": {"backend": "openai", "model": "none", "refusal": {"min_confidence": 0.0}},
        "routing": {"endpoints": endpoints},
        "costs": {"prices": prices},
    }
    (folder / "ragkit.yaml").write_text(f"# ours\n{yaml.safe_dump(config)}")
    return folder / "suite.yaml"


@pytest.fixture(scope="module")
def read(suite: Path) -> tuple[LoadedSuite, Config]:
    return load_suite(suite, suite.parent), load_config(suite.parent / "ragkit.yaml").config


@pytest.fixture(scope="module")
def rows(suite: Path, read: tuple[LoadedSuite, Config]) -> list[Logged]:
    with Runs(suite.parent / "runs.sqlite", create=True) as runs:
        return logged(*read, record(*read, runs))


def test_every_endpoint_is_asked_alone_once(
    suite: Path, read: tuple[LoadedSuite, Config], rows: list[Logged], servers: tuple[FaultServer, FaultServer]
) -> None:
    assert len(rows) == 2 * len(THINGS)
    assert [row.right for row in rows if row.id.startswith("report/lamp")] == [(1.0, 1.0, 1.0), (1.0, 0.0, 0.0)]
    assert {row.nano_usd for row in rows} == {(0, 134_000, 1_340_000)}, "120 tokens in and 7 out, at their prices"
    before = [server.asked for server in servers]
    with Runs(suite.parent / "runs.sqlite") as runs:
        assert logged(*read, record(*read, runs)) == rows
    assert [server.asked for server in servers] == before, "what was asked is not asked again"


def test_the_router_does_what_the_replay_of_the_recorded_answers_says(
    read: tuple[LoadedSuite, Config], rows: list[Logged], suite: Path
) -> None:
    loaded, config = read
    scores = (Score(coverage=1.0), Score(margin=1.0))
    chances = chances_of(scores, rows)
    threshold = float(np.median(chances))
    route = replay(rows, chances, threshold)
    assert set(route.by.tolist()) == {0, 1, 2}
    cascade = {"threshold": threshold, "scores": dict(zip(("documents", "small"), scores, strict=True))}
    routing = Routing.model_validate(config.routing.model_dump() | {"policy": "cascade", "cascade": cascade})
    with Ragkit(placed_config(loaded, config.model_copy(update={"routing": routing}))) as rag:
        for row, by in zip(rows, route.by.tolist(), strict=True):
            attempts = rag.ask(row.question).attempts
            assert [attempt.endpoint for attempt in attempts] == ["documents", "small", "large"][: by + 1]


FILL = " Each part of the {} is checked by hand in hall {}, and a label of colour {} is put on box {}."


@pytest.mark.parametrize(
    ("packing", "context_tokens", "least"),
    [("chunks", 2000, 100), ("sentences", 300, 40), ("chunks", 150, 40)],
    ids=["whole chunks", "sentences", "a chunk that is cut"],
)
def test_what_is_fitted_to_is_what_the_router_sees(
    packing: str,
    context_tokens: int,
    least: int,
    servers: tuple[FaultServer, FaultServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "docs").mkdir()
    for thing in THINGS[:3]:
        more = "".join(FILL.format(thing, number, number * 3, number * 7) for number in range(25))
        text = f"# {thing}\n\nThe battery of the {thing} lasts 10 hours.{more}\n"
        (tmp_path / "docs" / f"{thing}.md").write_text(text, encoding="utf-8")
    cases = [{"id": thing, "question": f"How long does the {thing} last?", "answers": ["10"]} for thing in THINGS[:3]]
    (tmp_path / "fit.jsonl").write_text("".join(f"{json.dumps(case)}\n" for case in cases), encoding="utf-8")
    suite = {"name": "long", "corpus": ["docs"], "data": [{"path": "fit.jsonl", "part": "tuning"}]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    generation = {"packing": packing, "context_tokens": context_tokens, "refusal": {"min_confidence": 0.0}}
    endpoints = [{"name": server.model, "model": server.model, "base_url": server.url} for server in servers]
    config = Config.model_validate(
        {
            "generation": {"backend": "openai", "model": "none", **generation},
            "routing": {"endpoints": endpoints},
            "costs": {"prices": {name: {"input": 1, "output": 2} for name in ("small", "large")}},
        }
    )
    loaded = load_suite(tmp_path / "suite.yaml", tmp_path)
    with Runs(tmp_path / "runs.sqlite", create=True) as runs:
        rows = logged(loaded, config, record(loaded, config, runs))
    live: list[dict[str, float]] = []

    def heard(*given: Any) -> dict[str, float]:
        live.append(signals(*given))
        return live[-1]

    monkeypatch.setattr("ragkit.gateway.cascade.signals", heard)
    routing = Routing.model_validate(
        config.routing.model_dump() | {"policy": "cascade", "cascade": {"scores": {"small": {"intercept": 9.0}}}}
    )
    with Ragkit(placed_config(loaded, config.model_copy(update={"routing": routing}))) as rag:
        for row in rows:
            rag.ask(row.question)
    assert [row.signals[0] for row in rows] == live
    words = [1000 * seen["context"] for seen in live]
    assert len(words) == 3
    assert all(least < count < context_tokens for count in words)


def test_an_endpoint_that_did_not_answer_is_named_and_only_asked_what_it_owes(
    suite: Path, read: tuple[LoadedSuite, Config], tmp_path: Path
) -> None:
    loaded, config = read
    loaded = replace(loaded, cases=loaded.cases[:8])
    with (
        FaultServer(["ok", "ok", "401"], model="small") as small,
        FaultServer(["401"], model="large") as large,
        Runs(tmp_path / "runs.sqlite", create=True) as runs,
    ):
        endpoints = [
            each.model_copy(update={"base_url": server.url})
            for each, server in zip(config.routing.endpoints[1:], (small, large), strict=True)
        ]
        config = config.model_copy(update={"routing": Routing(endpoints=endpoints, deadline_s=5.0, wait_s=0.1)})
        with pytest.raises(RagkitError, match=r"small did not answer 2 of 8 questions, the first .*sentences"):
            record(loaded, config, runs)
        assert large.asked == 0, "nothing is paid for what cannot be fitted to"
        small.meets(["ok"])
        asked = small.asked
        with pytest.raises(RagkitError, match="large did not answer 5 of the last 5 questions"):
            record(loaded, config, runs)
        assert small.asked == asked + 2
        assert large.asked == 5, "the other three would only fail too"
        large.meets(["ok"])
        answers = record(loaded, config, runs)
        assert large.asked == 13
        assert all(each.answered and each.input_tokens == 120 for several in answers for each in several)


def test_with_new_questions_and_labels_only_these_are_asked(
    read: tuple[LoadedSuite, Config], servers: tuple[FaultServer, FaultServer], tmp_path: Path
) -> None:
    loaded, config = read
    few, more = loaded.cases[:5], loaded.cases[:8]
    other = more[0].model_copy(update={"answers": (*more[0].answers, "ten")})
    with Runs(tmp_path / "runs.sqlite", create=True) as runs:
        first = record(replace(loaded, cases=few), config, runs)
        before = [server.asked for server in servers]
        answers = record(replace(loaded, cases=[other, *more[1:]]), config, runs)
        assert [server.asked for server in servers] == [count + 4 for count in before]
        assert [several[1:5] for several in answers] == [several[1:] for several in first]
        assert answers[0][0].case == other
        assert "4 of 8 questions were asked by run " in runs.all()[0].details["notes"][-1]
        renamed = [case.model_copy(update={"id": f"fit/{case.id}"}) for case in [other, *more[1:]]]
        answers = record(replace(loaded, cases=renamed), config, runs)
        assert [server.asked for server in servers] == [count + 4 for count in before], "an id is no question"
        assert [each.case for each in answers[0]] == renamed


def test_the_command_installs_scores_that_keep_the_bound_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suite: Path,
    rows: list[Logged],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def fitted(*more: str, code: int = 0) -> str:
        assert main(["router", "fit", *options, *more]) == code
        return capsys.readouterr().out

    config = tmp_path / "ragkit.yaml"
    before = (suite.parent / "ragkit.yaml").read_text()
    config.write_text(before)
    models = load_config(config).config.routing.endpoints[1:]
    options = ["--suite", str(suite), "-c", str(config), "--runs", str(suite.parent / "runs.sqlite")]
    page = tmp_path / "page.html"
    alike = "routing.endpoints=" + json.dumps([each.model_dump(mode="json", exclude_defaults=True) for each in models])
    said = fitted("--most-lost", "0", "--set", alike, code=1)
    assert "no threshold is shown to lose at most 0 points" in said, "the small model knows no more than the large one"
    assert config.read_text() == before
    said = fitted("--most-lost", "5", "--html", str(page))
    assert "always large" in page.read_text()
    assert "installed" in said
    installed = load_config(config).config
    assert config.read_text().startswith("# ours\n")
    assert installed.routing.policy == "cascade"
    assert set(installed.routing.cascade.scores) == {"documents", "small"}
    assert "by neighbours*" in said
    again = json.loads(fitted("--most-lost", "5", "--json", "--dry-run"))
    assert again["fit"]["questions"] == 20
    assert not again["installed"]


def test_the_command_asks_nobody_for_what_it_cannot_install(
    capsys: pytest.CaptureFixture[str],
    suite: Path,
    servers: tuple[FaultServer, FaultServer],
    tmp_path: Path,
) -> None:
    before = [server.asked for server in servers]
    config, runs = suite.parent / "ragkit.yaml", tmp_path / "runs.sqlite"
    command = ["router", "fit", "--suite", str(suite), "-c", str(config), "--runs", str(runs)]
    at = {"model": "large", "base_url": servers[1].url}
    others = [{"name": "one", **at}, {"name": "other", **at}]
    unpriced = [{"name": "small", **at}, {"name": "large", **at, "model": "new"}]
    for setting, said in (
        ("routing.paid_attempts=1", "paid_attempts is 1"),
        (f"routing.endpoints={json.dumps(unpriced)}", "what large costs is not known"),
        (f"routing.endpoints={json.dumps(others)}", "cascade.scores names one, which is none of endpoints"),
    ):
        assert main([*command, "--set", setting]) != 0
        assert said in " ".join(capsys.readouterr().err.split())
    assert [server.asked for server in servers] == before
    assert not runs.exists()


def test_a_dear_endpoint_before_a_cheap_one_is_not_installed_and_any_name_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suite: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "ragkit.yaml"
    own = yaml.safe_load((suite.parent / "ragkit.yaml").read_text())
    documents, small, large = own["routing"]["endpoints"]
    command = ["router", "fit", "--suite", str(suite), "-c", str(file), "--runs", str(tmp_path / "runs.sqlite")]

    def fitted(endpoints: list[dict[str, str]]) -> tuple[int, str]:
        file.write_text(yaml.safe_dump(own | {"routing": {"endpoints": endpoints}}))
        code = main([*command, "--most-lost", "100", "--concurrency", "4"])
        return code, capsys.readouterr().out

    code, said = fitted([large, small])
    assert code == 1
    assert "1,000 answers of large cost $1.340 and those of small, the last endpoint, $0.134" in said
    assert "cascade" not in file.read_text()
    code, said = fitted([documents | {"name": "ours: words #1"}, small, large])
    assert code == 0
    assert set(load_config(file).config.routing.cascade.scores) == {"ours: words #1", "small"}
