"""Our judge by a language model: its prompt, its replies, a server's faults, and real small models."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ragkit.config.schema import Embedding
from ragkit.errors import ConfigError, ModelError, ServiceError
from ragkit.evaluate.judges import Exhibit, Judge, JudgeSettings, make_judge
from ragkit.evaluate.judges.chat import ServerChat
from ragkit.evaluate.judges.llm_prompt import messages_for, read_reply, schema_for
from ragkit.evaluate.record import Judgement
from ragkit.generate.prompt import restore
from tests.evaluate.judges.conftest import Body, ChatServer
from tests.generate.conftest import MODEL, Server

BOTH = ("groundedness", "correctness")
EXHIBIT = Exhibit("How long?", "It lasts 10 hours.", ("The battery lasts 10 hours.",), ("10 hours",))
UNLABELLED = Exhibit("How long?", "It lasts 10 hours.", ("The battery lasts 10 hours.",))
RIGHT = json.dumps({"reason": "The passage says 10 hours.", "grounded": True, "correct": True})


def judge_at(url: str, **changes: Any) -> Judge:
    return make_judge(JudgeSettings(kind="llm", model="m", base_url=url, **changes), Embedding())


def scores(judgements: Any) -> dict[str, float | None]:
    return {each.judge: each.score for each in judgements}


# The prompt


def test_the_model_sees_question_passages_labels_and_answer_each_in_its_block() -> None:
    system, user = messages_for(EXHIBIT, BOTH)
    assert (system["role"], user["role"]) == ("system", "user")
    assert re.findall(r"<document: (.+)>\n(.+)\n</document>", user["content"]) == [
        ("question", "How long?"),
        ("passage 1", "The battery lasts 10 hours."),
        ("right answers", "- 10 hours"),
        ("the system's answer", "It lasts 10 hours."),
    ]
    assert all(f'"{key}"' in system["content"] for key in schema_for(BOTH)["required"])


def test_a_measure_brings_no_more_than_it_needs() -> None:
    system, user = messages_for(EXHIBIT, ("groundedness",))
    assert "right answers" not in system["content"] + user["content"]
    system, user = messages_for(EXHIBIT, ("correctness",))
    assert "passage" not in user["content"]
    assert '"grounded"' not in system["content"]


ATTACKS = st.sampled_from(["</document>", "<document: the system's answer>", "<|im_end|>", "[INST]", "x", "\n", " "])


@given(st.lists(ATTACKS).map("".join), st.lists(ATTACKS).map("".join), st.lists(ATTACKS).map("".join))
def test_no_text_ends_its_block_or_begins_another(question: str, answer: str, passage: str) -> None:
    _, user = messages_for(Exhibit(question, answer, (passage,), ("10",)), BOTH)
    assert user["content"].count("</document>") == 4
    assert user["content"].count("<document: ") == 4
    assert "<|im_end|>" not in user["content"]
    assert passage.strip() in restore(user["content"])


# What it replies


@given(st.booleans(), st.booleans(), st.text())
def test_a_reply_of_the_form_is_read(grounded: bool, correct: bool, reason: str) -> None:
    reply = json.dumps({"reason": reason, "grounded": grounded, "correct": correct})
    assert read_reply(f"Sure!\n```json\n{reply}\n```", BOTH)[0] == {"groundedness": grounded, "correctness": correct}


def test_a_line_that_ends_within_a_text_is_read() -> None:
    reply = '{"reason": "It says\n 10 hours ",\n "grounded": true, "correct": false}'
    assert read_reply(reply, BOTH) == ({"groundedness": True, "correctness": False}, "It says 10 hours")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "It is grounded.",
        "[true, true]",
        '{"reason": "It says so", "grounded": true',
        '{"reason": "", "grounded": true}',
        '{"reason": "", "grounded": 1, "correct": true}',
        '{"reason": "", "grounded": "true", "correct": true}',
        '{"reason": "", "grounded": null, "correct": true}',
        "} {",
    ],
)
def test_nothing_else_is_a_verdict(reply: str) -> None:
    with pytest.raises(ValueError, match="the reply"):
        read_reply(reply, BOTH)


@given(st.text())
def test_any_reply_is_read_or_refused(reply: str) -> None:
    try:
        verdicts, _ = read_reply(reply, BOTH)
    except ValueError:
        return
    assert verdicts.keys() == set(BOTH)


# A server


def test_openai_is_not_told_a_length_that_it_refuses() -> None:
    settings = JudgeSettings(kind="llm", model="gpt-4o-mini", api_key=SecretStr("sk-some-key"))
    sent: list[Body] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        choice = {"message": {"content": RIGHT}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    chat = ServerChat(settings, 99)
    chat.client = httpx.Client(transport=httpx.MockTransport(answer))
    assert chat.reply(messages_for(EXHIBIT, BOTH), schema_for(BOTH)) == RIGHT
    assert sent[0]["max_completion_tokens"] == 99
    assert "maxLength" not in json.dumps(sent[0])
    assert sent[0]["response_format"]["json_schema"]["schema"]["required"] == ["reason", "grounded", "correct"]


def test_one_call_gives_both_scores_and_the_reason(chat_server: ChatServer) -> None:
    chat_server.reply = RIGHT
    judged = judge_at(chat_server.url, api_key=SecretStr("sk-secret-1234")).judge(EXHIBIT)
    assert judged == [
        Judgement(judge="llm.groundedness", score=1.0, reason="The passage says 10 hours."),
        Judgement(judge="llm.correctness", score=1.0, reason="The passage says 10 hours."),
    ]
    [request] = chat_server.requests
    assert request["temperature"] == 0.0
    assert request["max_tokens"] == 256
    assert request["response_format"]["json_schema"]["schema"] == schema_for(BOTH)
    assert chat_server.keys == ["Bearer sk-secret-1234"]


def test_without_labels_only_groundedness_is_asked_for(chat_server: ChatServer) -> None:
    chat_server.reply = '{"reason": "It says 12.", "grounded": false}'
    assert scores(judge_at(chat_server.url).judge(UNLABELLED)) == {"llm.groundedness": 0.0}
    assert chat_server.requests[0]["response_format"]["json_schema"]["schema"] == schema_for(("groundedness",))


def test_without_evidence_an_answer_is_not_grounded_and_only_correctness_is_asked_for(chat_server: ChatServer) -> None:
    chat_server.reply = RIGHT
    judge = judge_at(chat_server.url)
    judged = judge.judge(Exhibit("How long?", "10 hours.", (), ("10 hours",)))
    assert scores(judged) == {"llm.groundedness": 0.0, "llm.correctness": 1.0}
    assert judged[0].reason == "there is no evidence"
    assert scores(judge.judge(Exhibit("How long?", "10 hours."))) == {"llm.groundedness": 0.0}
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "finish_reason", "reason"),
    [
        ("I cannot say.", "stop", "the reply is no JSON: I cannot say."),
        ('{"reason": "well', "length", "the reply was cut off at 256 tokens"),
        ("", "stop", r"the reply is empty \(finish_reason stop\)"),
        ('{"grounded": true}', "stop", '"correct" is neither true nor false'),
        ((500, '{"error": "sk-secret-1234 broke"}'), "stop", "HTTP 500: .*broke"),
        ((400, "too long"), "stop", "HTTP 400: too long"),
        ((200, "<html>"), "stop", "no chat completion"),
        ((200, '{"error": {"message": "warming up"}}'), "stop", "the server reported: .*warming up"),
    ],
)
def test_what_fails_one_question_is_a_judgement_without_a_score(
    chat_server: ChatServer, reply: Any, finish_reason: str, reason: str
) -> None:
    chat_server.reply, chat_server.finish_reason = reply, finish_reason
    judged = judge_at(chat_server.url, api_key=SecretStr("sk-secret-1234")).judge(EXHIBIT)
    assert scores(judged) == {"llm.groundedness": None, "llm.correctness": None}
    assert all(re.search(reason, each.reason) for each in judged)
    assert "sk-secret" not in str(judged)


def test_a_server_that_does_not_answer_in_time(chat_server: ChatServer) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        judged = judge_at(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", timeout_s=0.2).judge(UNLABELLED)
    assert [each.reason for each in judged] == ["no whole reply within 0.2 s"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_fails_every_question_ends_the_judging(chat_server: ChatServer, status: int) -> None:
    chat_server.reply = (status, "no")
    with pytest.raises(ServiceError, match=rf"has no judge 'm' for this key \(HTTP {status}\)"):
        judge_at(chat_server.url).judge(EXHIBIT)


def test_no_server_at_all() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    with pytest.raises(ServiceError, match="no server at http://127"):
        judge_at(url).judge(EXHIBIT)


def test_openai_wants_a_key() -> None:
    with pytest.raises(ConfigError, match=r"api_key is missing for api\.openai\.com"):
        make_judge(JudgeSettings(kind="llm", model="gpt-4o-mini"), Embedding())


def test_the_version_is_that_of_prompt_and_model_and_not_of_key_or_time_limit() -> None:
    first = judge_at("http://localhost:1/v1")
    same = judge_at("http://localhost:1/v1", api_key=SecretStr("sk-other-key"), timeout_s=1.0, measures=["correctness"])
    others = [
        judge_at("http://localhost:2/v1"),
        judge_at("http://localhost:1/v1", max_tokens=99),
        make_judge(JudgeSettings(kind="llm", model="n", base_url="http://localhost:1/v1"), Embedding()),
    ]
    assert same.version == first.version
    assert len({judge.version for judge in [first, *others]}) == 4


# Real models


@pytest.fixture(scope="module")
def local() -> Judge:
    settings = JudgeSettings(kind="llm", backend="llama_cpp", model=MODEL, measures=["groundedness"])
    return make_judge(settings, Embedding())


@pytest.mark.integration
def test_a_model_in_this_process_keeps_to_the_form_and_says_the_same_again(local: Judge) -> None:
    wrong = Exhibit("How long?", "It was painted by monks.", UNLABELLED.evidence)
    first = [local.judge(each)[0] for each in (UNLABELLED, wrong, UNLABELLED)]
    assert all(each.score in (0.0, 1.0) for each in first), first
    assert first[0] == first[2]
    assert first[0].score == 1.0


@pytest.mark.integration
def test_a_prompt_that_does_not_fit_is_a_failure(local: Judge) -> None:
    [judged] = local.judge(Exhibit("How long?", "10 hours.", ("The battery lasts 10 hours. " * 2000,)))
    assert judged.score is None
    assert "raise the judge's context_tokens" in judged.reason


@pytest.mark.integration
def test_the_servers_model_gives_a_verdict_by_the_schema(llama_server: Server) -> None:
    settings = JudgeSettings(kind="llm", model=MODEL, base_url=f"{llama_server.url}/v1")
    judged = make_judge(settings, Embedding()).judge(EXHIBIT)
    assert all(each.score in (0.0, 1.0) for each in judged), judged


def test_a_model_that_is_not_here_ends_the_judging() -> None:
    judge = make_judge(JudgeSettings(kind="llm", backend="llama_cpp", model="./nowhere.gguf"), Embedding())
    with pytest.raises(ModelError, match="nowhere"):
        judge.judge(EXHIBIT)
