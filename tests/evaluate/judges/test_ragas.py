"""The package ragas as a judge: the real ragas, against a server that replies what a test wants, and a real model."""

from __future__ import annotations

import importlib.util
import json
import socket
from typing import Any

import pytest

from ragkit.config.schema import Embedding
from ragkit.errors import ServiceError
from ragkit.evaluate.judges import Exhibit, Judge, JudgeSettings, make_judge
from ragkit.evaluate.judges.cache import key_of
from tests.evaluate.judges.conftest import Body, ChatServer
from tests.generate.conftest import MODEL, Server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        importlib.util.find_spec("ragas") is None,
        reason="!!! RAGAS IS NOT TESTED: it is not installed here; pip install 'ragkit[ragas]'",
    ),
]

EXHIBIT = Exhibit(
    "How long does the battery last?",
    "The battery lasts 10 hours.",
    ("The battery lasts 10 hours at 20 degrees.", "It was built in Bremen."),
    ("10 hours",),
)
MEASURES = ["ragas.faithfulness", "ragas.answer_relevancy", "ragas.context_precision", "ragas.context_recall"]


def judge_at(url: str, **changes: Any) -> Judge:
    settings = JudgeSettings(kind="ragas", model=MODEL, base_url=url, **changes)
    return make_judge(settings, Embedding())


def by_form(**replies: Any) -> Any:
    """A reply for each form that ragas asks for, named by its schema; right ones where nothing else is given."""
    statement = "The battery lasts 10 hours."
    right: dict[str, Any] = {
        "StatementGeneratorOutput": {"statements": [statement, "It is a battery."]},
        "NLIStatementOutput": {
            "statements": [
                {"statement": statement, "reason": "it says so", "verdict": 1},
                {"statement": "It is a battery.", "reason": "no", "verdict": 0},
            ]
        },
        "AnswerRelevanceOutput": {"question": EXHIBIT.question, "noncommittal": 0},
        "ContextPrecisionOutput": {"reason": "it says so", "verdict": 1},
        "ContextRecallOutput": {"classifications": [{"statement": "10 hours", "reason": "yes", "attributed": 1}]},
    }

    def reply(request: Body) -> str:
        form = request["response_format"]
        name: str = form["json_schema"]["name"] if "json_schema" in form else form["schema"]["title"]
        made = replies.get(name, right[name])
        return made if isinstance(made, str) else json.dumps(made)

    return reply


def test_ragas_makes_its_numbers_of_the_models_replies(chat_server: ChatServer) -> None:
    chat_server.reply = by_form()
    judged = judge_at(chat_server.url).judge(EXHIBIT)
    assert [each.judge for each in judged] == MEASURES
    assert [each.score for each in judged] == [
        0.5,  # one of two statements
        pytest.approx(1.0, abs=1e-3),  # the question itself came back
        pytest.approx(1.0),  # both passages useful
        1.0,
    ]
    assert {request["max_tokens"] for request in chat_server.requests} == {4096}
    assert {request["temperature"] for request in chat_server.requests} == {0.0}
    # One call for the statements and one for their verdicts, three questions, two passages, one recall.
    assert len(chat_server.requests) == 2 + 3 + 2 + 1


def test_a_server_that_has_another_name_for_a_schema_is_asked_by_that(chat_server: ChatServer) -> None:
    replies = by_form()

    def reply(request: Body) -> str | tuple[int, str]:
        if request["response_format"]["type"] == "json_schema":
            return 422, '{"error": {"message": "Input should be \'text\' or \'json_object\'"}}'
        return replies(request)

    chat_server.reply = reply
    judge = judge_at(chat_server.url)
    assert all(each.score is not None for each in judge.judge(EXHIBIT))
    refused = [request for request in chat_server.requests if request["response_format"]["type"] == "json_schema"]
    judge.judge(EXHIBIT)
    still = [request for request in chat_server.requests if request["response_format"]["type"] == "json_schema"]
    assert len(still) == len(refused)


ODD: list[tuple[dict[str, Any], str, str]] = [
    ({"StatementGeneratorOutput": '{"statements": ["The'}, "ragas.faithfulness", "Invalid JSON"),
    ({"StatementGeneratorOutput": {"statements": []}}, "ragas.faithfulness", "ragas gave no number"),
    (
        {"NLIStatementOutput": {"statements": [{"statement": "x", "reason": "", "verdict": 7}]}},
        "ragas.faithfulness",
        "the model's verdict is 7, neither 0 nor 1",
    ),
    ({"AnswerRelevanceOutput": {"question": " ", "noncommittal": 0}}, "ragas.answer_relevancy", "wrote no question"),
    ({"ContextPrecisionOutput": {"reason": "", "verdict": -1}}, "ragas.context_precision", "verdict is -1"),
    ({"ContextRecallOutput": {"classifications": []}}, "ragas.context_recall", "ragas gave no number"),
    ({"ContextRecallOutput": "no JSON"}, "ragas.context_recall", "Invalid JSON"),
]


@pytest.mark.parametrize(("replies", "measure", "reason"), ODD)
def test_each_metric_fails_by_itself_and_never_as_a_number(
    chat_server: ChatServer, replies: dict[str, Any], measure: str, reason: str
) -> None:
    chat_server.reply = by_form(**replies)
    judged = judge_at(chat_server.url).judge(EXHIBIT)
    assert {each.judge for each in judged if each.score is None} == {measure}
    [failed] = [each for each in judged if each.score is None]
    assert reason in failed.reason


def test_verdicts_on_fewer_statements_are_noted(chat_server: ChatServer) -> None:
    kept = {"statement": "The battery lasts 10 hours.", "reason": "it says so", "verdict": 1}
    chat_server.reply = by_form(NLIStatementOutput={"statements": [kept]})
    [judged] = judge_at(chat_server.url, measures=["faithfulness"]).judge(EXHIBIT)
    assert (judged.score, judged.reason) == (1.0, "verdicts on 1 of 2 statements")


@pytest.mark.parametrize(
    ("reply", "finish_reason", "reason"),
    [
        ((500, '{"error": {"message": "broke"}}'), "stop", "broke"),
        ((400, '{"error": {"message": "too long"}}'), "stop", "too long"),
        ('{"statements": ["The', "length", "cut off: it reached the judge's max_tokens"),
    ],
)
def test_a_servers_faults_are_the_reason(chat_server: ChatServer, reply: Any, finish_reason: str, reason: str) -> None:
    chat_server.reply, chat_server.finish_reason = reply, finish_reason
    [judged] = judge_at(chat_server.url, measures=["faithfulness"]).judge(EXHIBIT)
    assert judged.score is None
    assert reason in judged.reason


def test_a_score_that_takes_too_long() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        [judged] = judge_at(url, measures=["context_recall"], timeout_s=0.3).judge(EXHIBIT)
    assert (judged.score, judged.reason) == (None, "no score within 0.3 s")


@pytest.mark.parametrize("status", [401, 404])
def test_what_fails_every_question_ends_the_judging(chat_server: ChatServer, status: int) -> None:
    chat_server.reply = (status, '{"error": {"message": "no"}}')
    with pytest.raises(ServiceError, match=f"ragas cannot ask '{MODEL}' at http://127"):
        judge_at(chat_server.url).judge(EXHIBIT)


def test_without_labels_or_evidence(chat_server: ChatServer) -> None:
    chat_server.reply = by_form()
    judge = judge_at(chat_server.url)
    unlabelled = judge.judge(Exhibit(EXHIBIT.question, EXHIBIT.answer, EXHIBIT.evidence))
    assert [each.judge for each in unlabelled] == MEASURES[:2]
    bare = judge.judge(Exhibit(EXHIBIT.question, EXHIBIT.answer))
    assert [(each.score, each.reason) for each in bare][:1] == [(0.0, "there is no evidence")]
    other = judge_at(chat_server.url, max_tokens=512)
    assert key_of(other, EXHIBIT) != key_of(judge, EXHIBIT)


def test_a_real_model_is_scored_or_counted(llama_server: Server) -> None:
    judged = judge_at(f"{llama_server.url}/v1", max_tokens=512, timeout_s=600.0).judge(EXHIBIT)
    assert [each.judge for each in judged] == MEASURES
    assert all(each.reason if each.score is None else 0.0 <= each.score <= 1.0 for each in judged), judged
    assert sum(each.score is not None for each in judged) >= 2, judged
