"""Our own judge by a language model: one call, at temperature 0, held to a JSON schema."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ragkit.evaluate.judges import Measure, asked, failures
from ragkit.evaluate.judges.chat import NoReplyError, make_chat
from ragkit.evaluate.judges.exhibit import Exhibit, version_of
from ragkit.evaluate.judges.llm_prompt import messages_for, read_reply, schema_for
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement

_MAX_TOKENS = 256
_REVISION = "1"  # of how a reply is read


class LlmJudge:
    """`groundedness`: the evidence states all that the answer states; `correctness`: it agrees with a labelled answer.

    Both are 1 or 0, by one call. A reply that is not of the form is a failed judgement, which keeps the reply's
    beginning as its reason. Without evidence, groundedness is 0 and nothing is asked for it.
    """

    name = "llm"

    def __init__(self, settings: JudgeSettings) -> None:
        every = {
            "groundedness": Measure("llm.groundedness"),
            "correctness": Measure("llm.correctness", needs_references=True),
        }
        self.measures = tuple(every[name] for name in settings.wanted)
        max_tokens = settings.max_tokens or _MAX_TOKENS
        self._chat = make_chat(settings, max_tokens)
        self.version = version_of(
            _REVISION,
            # Whatever the exhibit, the rules that the model is told are among these.
            json.dumps([messages_for(Exhibit("?", "!", ("",), ("",)), asked_for) for asked_for in _SELECTIONS]),
            json.dumps([schema_for(asked_for) for asked_for in _SELECTIONS]),
            settings.model_dump_json(include={"backend", "model", "base_url", "context_tokens"}),
            str(max_tokens),
        )

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        wanted = asked(self.measures, exhibit)
        unbacked = [measure for measure in wanted if measure.name == "llm.groundedness" and not exhibit.evidence]
        open_questions = [measure for measure in wanted if measure not in unbacked]
        given = [Judgement(judge=measure.name, score=0.0, reason="there is no evidence") for measure in unbacked]
        return given + self._asked(exhibit, open_questions) if open_questions else given

    def _asked(self, exhibit: Exhibit, measures: list[Measure]) -> list[Judgement]:
        names = tuple(measure.name.removeprefix("llm.") for measure in measures)
        try:
            reply = self._chat.reply(messages_for(exhibit, names), schema_for(names))
            verdicts, reason = read_reply(reply, names)
        except (NoReplyError, ValueError) as error:
            return failures(measures, str(error))
        return [
            Judgement(judge=measure.name, score=float(verdicts[name]), reason=reason)
            for measure, name in zip(measures, names, strict=True)
        ]


_SELECTIONS = (("groundedness",), ("correctness",), ("groundedness", "correctness"))
