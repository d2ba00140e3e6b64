"""`ragkit plan`: a table for people, one object for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

Run = Callable[..., str]

pytestmark = pytest.mark.integration


def test_the_plan_of_a_small_index(ragkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.capacity.rates.SIZES", (200, 400))
    found = json.loads(ragkit("plan", "--documents", "5000", "--qps", "3", "--json"))
    assert found["plan"]["documents"] == 5000
    assert found["plan"]["chunks"] == round(5000 * found["measured"]["chunks"] / found["measured"]["documents"])
    assert found["plan"]["replicas"] >= 1
    assert found["assumed"]["utilisation"] == 0.6
