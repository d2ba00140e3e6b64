"""Gates and checks as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from xml.etree import ElementTree


class Line(NamedTuple):
    """One test: its name, the verdict, and what was measured against what."""

    name: str
    verdict: str
    message: str


def junit(suite: str, lines: Iterable[Line]) -> str:
    """An XML document: fail is a failure, not shown is skipped.

    >>> junit("s", [Line("f1", "fail", "0.2, at least 0.5")]).count("failure message")
    1
    """
    given = list(lines)
    failures, skipped = (sum(line.verdict == kind for line in given) for kind in ("fail", "not shown"))
    counts = {"tests": str(len(given)), "failures": str(failures), "skipped": str(skipped)}
    root = ElementTree.Element("testsuite", {"name": suite, **counts})
    for line in given:
        case = ElementTree.SubElement(root, "testcase", {"classname": suite, "name": line.name})
        kind = {"fail": "failure", "not shown": "skipped"}.get(line.verdict)
        if kind is not None:
            ElementTree.SubElement(case, kind, {"message": line.message})
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode("utf-8")
