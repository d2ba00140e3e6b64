"""Gates and checks as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from ragkit.evaluate.remarks import gate_in_words, measured_in_words
from ragkit.evaluate.summary import Summary


class Line(NamedTuple):
    """One test: its name, the verdict, and what was measured against what."""

    name: str
    verdict: str
    message: str


def gate_lines(summary: Summary) -> list[Line]:
    """A test for each gate; the name has metric, segment and bound, so that two gates on one metric are two tests."""
    return [
        Line(
            gate_in_words(result.gate),
            result.verdict,
            f"measured {measured_in_words(result)}, demanded {result.gate.demanded}",
        )
        for result in summary.gates
    ]


def junit(suite: str, lines: Iterable[Line], properties: Mapping[str, str] | None = None) -> str:
    """An XML document: fail is a failure, not shown is skipped. Properties that are empty are left out.

    >>> junit("s", [Line("f1", "fail", "0.2, at least 0.5")]).count("failure message")
    1
    """
    given = list(lines)
    failures, skipped = (sum(line.verdict == kind for line in given) for kind in ("fail", "not shown"))
    counts = {"tests": str(len(given)), "failures": str(failures), "skipped": str(skipped)}
    root = ElementTree.Element("testsuite", {"name": suite, **counts})
    told = {name: value for name, value in (properties or {}).items() if value}
    if told:
        listed = ElementTree.SubElement(root, "properties")
        for name, value in told.items():
            ElementTree.SubElement(listed, "property", {"name": name, "value": value})
    for line in given:
        case = ElementTree.SubElement(root, "testcase", {"classname": suite, "name": line.name})
        kind = {"fail": "failure", "not shown": "skipped"}.get(line.verdict)
        if kind is not None:
            ElementTree.SubElement(case, kind, {"message": line.message})
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode("utf-8")
