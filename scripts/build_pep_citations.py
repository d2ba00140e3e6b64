"""Build a retrieval data set of long documents from the Python Enhancement Proposals (PEPs).

    python scripts/build_pep_citations.py DATA_DIR OUT_DIR [--small]

DATA_DIR holds `peps/pep-NNNN.rst`. OUT_DIR gets the BEIR layout: corpus.jsonl, queries.jsonl,
qrels/test.tsv. A document is the whole file of one PEP. A query is a sentence that the authors of PEP X
wrote about exactly one other PEP Y, without its number, title and address; the relevant document is Y.
There is at most one query for each X, and its id is X's, so that the rule "ignore the document with the
query's id" (BEIR) keeps X out of its own result. The queries are sentences of experts and the judgments
their citations: other PEPs may be relevant too, so compare settings by it and do not read the figures as
absolute. The same input gives the same output, byte for byte.

--small keeps the cited PEPs of less than 40,000 characters, their queries, and 100 others of less than 30,000: 204
documents that are embedded in minutes.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 20261123
MIN_CONTENT_WORDS = 8
MAX_WORDS = 45

# Sections that list things instead of saying them, or that speak of the process.
SKIPPED_SECTION = re.compile(
    r"references|copyright|footnote|acknowledg|history|links|schedule|release manager|resolution|"
    r"acceptance|rejection notice|withdrawal|deferral|superse|pep status|authors?$|credits|bibliography|"
    r"see also|open issues",
    re.IGNORECASE,
)
HEADING_RULE = re.compile(r"([=\-~^\"'`+*#.:_])\1{2,}\s*$")
LIST_MARK = re.compile(r"^(?:[-*+•]|#\.|\(?[0-9a-zA-Z]{1,2}[.)])\s+")
REFERENCE = re.compile(r"PepRef(\d+)x")  # what a citation becomes while a sentence is cut and cleaned
REF = r"(?:PepRef\d+x(?:'s)?)"

PEP_ROLE = re.compile(r":pep:`(?:([^`<]*?)\s*<)?(\d+)(?:#[^`>]*)?>?`")
PEP_ADDRESS = r"https?://(?:www\.)?(?:peps\.python\.org|python\.org(?:/dev)?/peps)/pep-(\d+)[^\s>`)]*"
PEP_LINK = re.compile(rf"`([^`<]*?)\s*<{PEP_ADDRESS}>`_{{1,2}}")
OTHER_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}")
PEP_WORDS = re.compile(r"`?\bPEPs?[ -]?(\d{1,4})\b(?:`_{1,2}|`|_\b)?", re.IGNORECASE)
PEP_LIST = re.compile(r"(PepRef\d+x(?:,? and |,? or |, |/))(\d{1,4})\b(?![.\d%])")
FOOTNOTE = re.compile(r"\s*\[(?:#?[\w.:+ -]*|\*)\]_")
ROLE = re.compile(r":[\w:+-]+:`[!~]?(?:([^`<]+?)\s*<[^`>]*>|([^`]*))`")

DESCRIBES = (
    r"introduc|defin|specif|describ|propos|add(?:s|ed)\b|provid|allow|enabl|extend|creat|establish|standardi[sz]|"
    r"chang(?:es|ed)\b|remov|deprecat|made\b|makes\b|gave\b|gives\b|implement|replac|suggest|recommend|requir|"
    r"formali[sz]|expos|explain|discuss|improv|switch|mov(?:es|ed)\b|adopt|permit|reserv|codif|outlin|cover|deal"
)
VERB = (
    rf"(?:{DESCRIBES})\w*|is|was|has|had|does|did|do|will|would|can|could|may|might|should|must|also|only|already|first|"
    r"then|never|still|later|itself|currently|simply|explicitly|not|and|or|but|[a-z]+ed|uses|says|states|notes|"
    r"needs|works|makes|goes|takes|came|gave|made|set|sets|shows|refers|supports|offers|contains|includes|mandates|"
    r"leaves|keeps|relies|tries|argues|calls|names|lists|tells|aims|attempts|solves|treats|forbids|prohibits"
)
DONE = (
    r"introduced|defined|specified|described|proposed|added|standardi[sz]ed|outlined|documented|provided|established|"
    r"discussed|detailed|suggested|implemented|presented|created|covered|given|made|recommended|mandated|required|used"
)
PREPOSITION = r"in|by|from|of|with|to|under|via|through|per|for|than|on|since|after|see|at|into|within|against|before"
# A citation before a noun ("the PEP 3107 syntax") belongs to the noun, so its preposition stays.
NO_NOUN = (
    rf"(?=\s*(?:[.,;:!?()]|$)|\s(?:{VERB}|{PREPOSITION}|as|that|which|when|where|while|if|so|because|although|though|"
    r"however|without|using|instead|rather|too|is|are|was)\b)"
)
STANDING = r"(?:recently[- ])?(?:accepted|rejected|withdrawn|deferred|original|recent|provisional|now)"
BEFORE_A_VERB = re.compile(r"(?i:is|are|was|were|be|been|being|as|those|(?:that|it)(?:'s)?|not|has|have|had)")
AS_REFERENCE = (
    r"(?:^|(?<=\s))(?i:just |exactly |much |but )?(?i:as|like|see|cf\.?|per|following|according to|"
    r"in accordance with|similar(?:ly)? to|in line with|consistent with|analogous to|e\.g\.|i\.e\.)"
    r",? ?(?:(?:it |they |that )?(?:is |are |was |were |has been )?"
    r"(?:already |also |first |originally |previously )?\w+(?:ed|ne|en) )?"
    rf"(?:in |by |with |from |of |under |for )?(?:the )?{REF}(?: (?:states?|says?|notes?|mentions?|does|"
    r"did|explains?|puts? it|describes?|suggests?|points? out|requires?|specifies|defines))?(?:,|:|(?=\.))"
)
DETERMINER = r"(?<!\w)(?:[Tt]he|[Aa]n?|[Tt]hese|[Tt]hose|[Tt]his|[Ss]uch|[Aa]ll|[Aa]ny|[Ee]ach|[Nn]o|new)"
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        about above after again all also although and any are because been before being below
        between both but can cannot could defined described did does doing done each either etc even
        for from had has have having her here hers him his how however into introduced its itself
        just may might more most much must new nor not off once one only other our out over own pep
        peps per proposed python same section see she should since some specified such than that the
        their them then there therefore these they this those though through thus too under until
        upon use used using very was were what when where whether which while who why will with
        within without would you your
        """,
    )
)
ABOUT_ITSELF = re.compile(
    r"\b(?:this|the (?:present|current)|our|my) (?:\w+ )?(?:pep|proposal|document|specification|draft|idea|"
    r"approach|section|change|feature|syntax|reference implementation)\b|"
    r"\bi(?:'\w+)?\b(?! \+)|\b(?:above|following)\b|"
    r"\bpeps?\b|\brejection\b|\bsupersede|\bwithdrawn\b|\bsteering council\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may become the query of its PEP; a higher grade describes the cited PEP better."""

    text: str
    cited: str
    grade: int


def read_pep(path: Path) -> tuple[str, str]:
    """Title and whole text of a PEP; titles may go on over several header lines."""
    text = path.read_text(encoding="utf-8")
    header = text.split("\n\n", 1)[0]
    title = re.search(r"^Title:((?:.*\n?)(?:[ \t]+.*\n?)*)", header, re.MULTILINE)
    return (" ".join(title.group(1).split()) if title else path.stem), text


def prose_blocks(text: str) -> Iterator[str]:
    """The paragraphs and list items of a PEP, one line each; no code, tables, directives, references."""
    skipping_section = False
    code_indent: int | None = None  # deeper blocks belong to a literal block or directive
    body = text.split("\n\n", 1)[-1].expandtabs()
    for block in re.split(r"\n[ ]*\n", body):
        lines = [line for line in block.split("\n") if line.strip()]
        while lines:
            heading = _heading_lines(lines)
            if heading:
                name = lines[heading - 2] if heading == 2 else lines[1]
                skipping_section, code_indent = bool(SKIPPED_SECTION.search(name)), None
                lines = lines[heading:]
                continue
            break
        if not lines or skipping_section:
            continue
        indent = len(lines[0]) - len(lines[0].lstrip())
        if code_indent is not None and indent > code_indent:
            continue
        first = lines[0].strip()
        code_indent = indent if first.startswith("..") or lines[-1].rstrip().endswith("::") else None
        if first.startswith(("..", "+-", "+=", "|", "==", ">>>", "$ ", ":")) or ">>>" in block:
            continue
        yield from _items(lines)


def _heading_lines(lines: list[str]) -> int:
    """How many lines at the start are a heading: 3 with an overline, 2 without, 0 if there is none."""
    if len(lines) >= 3 and HEADING_RULE.match(lines[0]) and HEADING_RULE.match(lines[2]):
        return 3
    return 2 if len(lines) >= 2 and HEADING_RULE.match(lines[1]) and not lines[0].startswith(" ") else 0


def _items(lines: list[str]) -> Iterator[str]:
    """A block as one paragraph, or as its list items, without their marks."""
    item: list[str] = []
    for line in lines:
        mark = LIST_MARK.match(line.strip())
        if mark and item and (item[-1].rstrip().endswith((".", ";", ":")) or LIST_MARK.match(item[0])):
            yield " ".join(LIST_MARK.sub("", " ".join(item), count=1).split())
            item = []
        item.append(line.strip())
    if item:
        joined = " ".join(" ".join(item).split())
        yield LIST_MARK.sub("", joined, count=1)


def mark_citations(block: str) -> str:
    """Plain text of a paragraph in which every citation of PEP N is the word PepRefNx.

    >>> mark_citations("As in :pep:`484`, PEPs 526 and 544 use ``x: int`` [#a]_ (`link <https://a.b>`__).")
    'As in PepRef484x, PepRef526x and PepRef544x use x: int (link).'
    """

    def linked(match: re.Match[str]) -> str:
        text = match.group(1) or ""
        words = PEP_WORDS.sub("", text).strip(" :,-")
        mark = f"PepRef{int(match.group(2))}x"
        return f"{words} {mark}" if words else mark

    text = PEP_ROLE.sub(linked, block)
    text = PEP_LINK.sub(linked, text)
    text = re.sub(PEP_ADDRESS, lambda m: f"PepRef{int(m.group(1))}x", text)
    text = OTHER_LINK.sub(r"\1", text)
    text = re.sub(r"<?https?://[^\s>]*>?", "", text)
    text = PEP_WORDS.sub(lambda m: f"PepRef{int(m.group(1))}x", text)
    while (further := PEP_LIST.sub(r"\1PepRef\2x", text)) != text:
        text = further
    text = FOOTNOTE.sub("", text)
    text = ROLE.sub(lambda m: m.group(1) or m.group(2), text)
    text = re.sub(r"`([^`]+)`_{1,2}", r"\1", text)
    text = re.sub(r"``?([^`]*)``?", r"\1", text)
    text = re.sub(r"(?<![\w*])\*{1,2}([^*\s](?:[^*]*[^*\s])?)\*{1,2}(?![\w*])", r"\1", text)
    return " ".join(text.replace("\\ ", "").replace("\\", "").split())


def without_citation(sentence: str, title: str) -> str:
    """The sentence without the marks, the cited title, and the words that only led to the citation.

    >>> without_citation('As specified in PepRef484x ("Type Hints"), stubs win over sources.', "Type Hints")
    'Stubs win over sources.'
    >>> without_citation("While PepRef572x was new (see PepRef572x), C had it.", "Assignment Expressions")
    'While it was new, C had it.'
    """
    name = re.escape(title)
    text = re.sub(rf"({REF})(?:[ ,:(\"'“]|--?|titled|called)*{name}[\"'”)]*|[\"'“]{name}[\"'”],?", r"\1", sentence)
    text = re.sub(rf"\b(?:[Tt]he )?{STANDING} (?={REF})", "", text)
    text = re.sub(rf"\s*[(\[](?:[^()\[\]]*?\s)?{REF}(?:[^()\[\]]*)[)\]]", _short_aside, text)
    text = re.sub(rf", (?:(?:which )?(?:was |were |is |are )?(?:first )?(?:{DONE}) (?:in|by) )?{REF},(?= )", "", text)
    text = re.sub(AS_REFERENCE, "", text)
    text = re.sub(
        rf"([\w']+)(?: (?:first|originally|previously|already|also))? (?:{DONE})"
        rf" (?:in|by|with|via|through) {REF}{NO_NOUN}",
        _done,
        text,
    )
    text = re.sub(rf",? ?\b(?i:{PREPOSITION})(?: the(?= {REF}(?:[.,;:)]|$)))? {REF}{NO_NOUN}", "", text)
    text = re.sub(rf"({DETERMINER} )?{REF}-?([\w-]*)( \w+)?", _pronoun, text)
    text = re.sub(r"\(\s*(?:see|cf\.)?\s*[,;]?\s*\)|\[\s*\]", "", text)
    text = re.sub(r"\s+([,;:!?)]|\.(?=\s|$))", r"\1", text)
    text = re.sub(r"[,;:]\s*(?=[,;:]|\.(?:\s|$))", "", text)
    text = re.sub(
        r"^(?:note|rationale|(?:also|finally|however|moreover|furthermore|additionally)\b),?:? ",
        "",
        " ".join(text.split()),
        flags=re.IGNORECASE,
    )
    text = text.strip(" ,;:-")
    return text[:1].upper() + text[1:]


def _done(match: re.Match[str]) -> str:
    """Shorten "the syntax defined in PEP N" to "the syntax"; "it was defined in PEP N" keeps its verb."""
    before = match.group(1)
    if BEFORE_A_VERB.fullmatch(before):
        verb = re.search(rf"(?:{DONE})", match.group(0)[len(before) :])
        return f"{before} {verb.group(0)}" if verb else before
    return before


def _pronoun(match: re.Match[str]) -> str:
    """What stands for a citation within the sentence: "it" before a verb, nothing before a noun."""
    before, joined, after = match.group(1) or "", match.group(2), match.group(3) or ""
    if re.search(r"PepRef\d+x's", match.group(0)):
        return f"its{after}"
    if not before and not joined and re.fullmatch(VERB, after.strip()):
        return f"it{after}"
    return before + after.lstrip()


def _short_aside(match: re.Match[str]) -> str:
    """Drop a bracketed citation, keep a bracket that says more than where to look."""
    words = REFERENCE.sub("", match.group(0)).split()
    return "" if len(words) < 8 or words[0].strip("([").lower() in {"see", "cf", "cf."} else match.group(0)


def content_words(text: str) -> set[str]:
    """Distinct words that carry meaning: letters, three or more, no stop words."""
    return {word for word in re.findall(r"[a-z][a-z_]{2,}", text.lower()) if word not in STOP_WORDS}


def grade(sentence: str) -> int:
    """How well a marked sentence tells what the cited PEP is about: 2, 1 or 0.

    2: the PEP is the subject of a verb; 1: something is done in or by it, or it explains a name in brackets.

    >>> [grade(s) for s in ("PepRef8x forbids tabs.", "Stubs were added in PepRef484x.", "See PepRef1x.")]
    [2, 1, 0]
    """
    if re.search(
        rf"(?:^|[,;:] |\b(?i:while|that|because|although|but|and|since|when) ){REF}"
        rf"(?: \([^)]*\))?,? (?:{VERB})\b",
        sentence,
    ):
        return 2
    done = rf"(?:{DONE})(?: \w+)? (?:in|by|with|through|via|as part of) {REF}"
    within = rf"^(?:In|Under|With|By|Before|Since|After) {REF}, |^{REF}'s \w"
    return 1 if re.search(rf"{done}|{within}|\w \((?:see |cf\.? )?{REF}\)", sentence) else 0


def candidates(stem: str, text: str, titles: dict[str, str]) -> list[Candidate]:
    """The sentences of one PEP that may serve as its query, in reading order."""
    import nupunkt

    found: list[Candidate] = []
    for block in prose_blocks(text):
        marked = mark_citations(block)
        if "PepRef" not in marked:
            continue
        for start, end in nupunkt.sent_spans(marked):
            sentence = marked[start:end].strip()
            cited = {f"pep-{int(number):04d}" for number in REFERENCE.findall(sentence)}
            if len(cited) != 1 or stem in cited or not cited <= titles.keys():
                continue
            (target,) = cited
            query = without_citation(sentence, titles[target])
            value = grade(sentence)
            if value and _readable(sentence, query):
                found.append(Candidate(query, target, value))
    return found


def _readable(sentence: str, query: str) -> bool:
    whole = sentence[0].isupper() and query[:1].isalnum() and sentence.rstrip("\"')”").endswith((".", "!", "?"))
    short = len(query.split()) <= MAX_WORDS
    clean = not re.search(r"[{}|<>=`]|:\w+:|::|\.\.\s|_{3,}|\bPepRef|@\w+\.|\d{1,2}-\w{3}-\d{4}", query)
    return (
        whole
        and short
        and clean
        and not ABOUT_ITSELF.search(query)
        and query.count("(") == query.count(")")
        and len(content_words(query)) >= MIN_CONTENT_WORDS
    )


def build(data: Path, out: Path, small: bool = False) -> tuple[int, list[tuple[str, Candidate]]]:
    """Write the data set; returns the number of documents and the queries with the PEP each is taken from."""
    peps = {path.stem: read_pep(path) for path in sorted(data.glob("peps/pep-*.rst")) if path.stem != "pep-0000"}
    titles = {stem: title for stem, (title, _) in peps.items()}
    queries: list[tuple[str, Candidate]] = []
    seen: set[str] = set()
    for stem, (_, text) in peps.items():
        fresh = [candidate for candidate in candidates(stem, text, titles) if candidate.text not in seen]
        best = [c for c in fresh if c.grade == max(other.grade for other in fresh)]
        if best:
            chosen = random.Random(f"{SEED} {stem}").choice(best)
            seen.add(chosen.text)
            queries.append((stem, chosen))
    if small:
        peps = _reduced(peps, {query.cited for _, query in queries})
        queries = [(stem, query) for stem, query in queries if query.cited in peps]
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    with (out / "corpus.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for stem, (title, text) in peps.items():
            file.write(json.dumps({"_id": stem, "title": title, "text": text}, ensure_ascii=False) + "\n")
    with (out / "queries.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for stem, query in queries:
            file.write(json.dumps({"_id": stem, "text": query.text}, ensure_ascii=False) + "\n")
    with (out / "qrels/test.tsv").open("w", encoding="utf-8", newline="\n") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        file.writelines(f"{stem}\t{query.cited}\t1\n" for stem, query in queries)
    return len(peps), queries


def _reduced(peps: dict[str, tuple[str, str]], cited: set[str]) -> dict[str, tuple[str, str]]:
    others = [stem for stem, (_, text) in peps.items() if stem not in cited and len(text) < 30_000]
    random.Random(0).shuffle(others)
    kept = {stem for stem in cited if len(peps[stem][1]) < 40_000} | set(others[:100])
    return {stem: pep for stem, pep in peps.items() if stem in kept}


def main(arguments: list[str]) -> int:
    small = "--small" in arguments
    arguments = [argument for argument in arguments if argument != "--small"]
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    documents, queries = build(Path(arguments[0]), Path(arguments[1]), small)
    grades = [sum(query.grade == value for _, query in queries) for value in (2, 1)]
    print(f"{documents} documents, {len(queries)} queries (grades 2, 1: {grades})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
