"""Whether two questions ask the same, judged by their words so that doubt is a difference.

Near vectors are no proof: "enable 2FA" and "disable 2FA" lie nearer than most paraphrases. So what wraps a question is
taken off ("could you tell me ..., please"), and of what is left everything that can make another answer must agree:
the words that carry meaning (by stem, with a short list of synonyms), numbers with their units, names, what kind of
answer is asked for, negation, who is meant by "my" and "your", now or then, and the direction ("from A to B", "A or B
beats"). A word that only one of the two has is a difference. The lists are English; in other languages questions agree
only if they are nearly the same words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ragkit.generate.support import stem

_CONTRACTIONS = [
    (re.compile(pattern), said)
    for pattern, said in (
        (r"\b(what|who|where|when|how|why|which|that|there|here|it|he|she)['’]s\b", r"\1 is"),
        (r"\b(?:can['’]?t|cannot)\b", "can not"),
        (r"\bwon['’]t\b", "will not"),
        (r"n['’]t\b", " not"),
        (r"['’]re\b", " are"),
        (r"['’]ve\b", " have"),
        (r"['’]ll\b", " will"),
        (r"['’]d\b", " would"),
        (r"\bi['’]?m\b", "i am"),
        (r"\bwhats\b", "what is"),
        (r"['’]s?\b", " "),
    )
]
_POLITE = r"(?:please|kindly|possibly|maybe|just|really|also|actually|quickly)"
_ME = r"(?:to )?(?:me|us)"
_KNOW = r"(?:know|find out|learn|understand|hear|ask|see|figure out|be told)"
# What stands before a question and is none of it, taken off for as long as one of these fits.
_BEFORE = [
    re.compile(pattern)
    for pattern in (
        r"(?:hi|hello|hey|okay?|so|well|um+|er+|please|excuse me|good (?:morning|day|evening)|thanks|sorry)\b[ ,.!:]*",
        r"(?:right now|quick question|one question|question|out of curiosity|just curious)\b[ ,.:!]+",
        rf"(?:can|could|would|will) (?:you|u|someone|anyone|anybody|somebody) (?:{_POLITE} )*"
        rf"(?:tell|show|explain|let|inform|advise|remind|give|help|say)(?: {_ME})?(?: {_POLITE})?"
        r"(?: know| understand| find out| find)?(?: about| on)? ",
        rf"(?:i|we) (?:{_POLITE} )*(?:want|need|would like|wish|wanted|have|was hoping|am hoping|would love|'d like) "
        rf"(?:{_POLITE} )*to {_KNOW}(?: about)? ",
        r"(?:i|we) (?:am|was|are|were) (?:just |really )?(?:wondering|curious|trying to find out|asking|interested in"
        r" (?:knowing|learning|finding out)|looking to find out)(?: about| as to)? ",
        r"(?:i|we) wonder(?:ed)? ",
        rf"(?:do|does|would) (?:you|u|anyone|anybody|someone) (?:happen to )?{_KNOW}(?: about)? ",
        rf"(?:tell|show|explain|inform|remind)(?: {_ME})?(?: {_POLITE})?(?: about)? ",
        rf"let {_ME} know(?: about)? ",
        r"(?:any idea|any chance you know|is it known|does anybody know|do we know) ",
        rf"(?:what|something) (?:i|we) (?:want|need|would like|wanted) to {_KNOW} is[ ,:]+",
        r"(?:my|here is my|the) question is[ ,:]+",
        r"is it possible to (?:tell me|know|say|find out) ",
    )
]
_BEHIND = [
    re.compile(pattern)
    for pattern in (
        r"[ ,.!?]+$",
        r"[ ,.!?-]+(?:please|thanks|thank you|thx|thanks a lot|many thanks|thanks in advance|if you know|if possible"
        r"|do you know|can you tell me|could you tell me|i wonder|by the way|exactly|anyway)$",
    )
]
# One way to say what has several, before words are compared.
_SAME = [
    (re.compile(pattern), said)
    for pattern, said in (
        (r"\b(?:in |on |at |during )?(?:what|which) (year|month|day|time|century|decade)\b", r"when_\1"),
        (r"\b(?:on )?(?:what|which) date\b", "when"),
        (r"\bwhat is the reason (?:for|why|that)\b|\bhow come\b|\bfor what reason\b", "why"),
        (r"\bin (?:what|which) way\b|\bby what means\b", "how"),
        (r"\bwhat is the (?:number|amount) of\b|\bwhat number of\b", "how many"),
        (r"\bhow much time\b", "how long"),
        (r"\bwhat (?:sort|kind|type) of\b", "what_kind"),
        (r"\bwhom\b", "who"),
        (r"\bgoing to\b", "will"),
        (r"\btake place\b|\btakes place\b|\btook place\b", "happen"),
        (r"\bas well as\b", "and"),
        (r"\bunited states(?: of america)?\b|\bu\.s\.(?:a\.)?|\busa\b|\bus_word\b", "unitedstates"),
        (r"\bunited kingdom\b|\bu\.k\.|\buk\b", "unitedkingdom"),
        (r"%|\bper ?cent\b", " percent "),
        (r"\$", " dollar "),
        (r"€", " euro "),
        (r"£", " pound "),
        (r"(\d)\s*°\s*c\b", r"\1 celsius"),
        (r"(\d)\s*°\s*f\b", r"\1 fahrenheit"),
    )
]
# Numbers with their sign, words (C++ and C# too), and the signs of a comparison or a sum.
_TOKEN = re.compile(r"(?:(?<![\w)])[-−])?\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:_[^\W\d_]+)*(?:\+\+|#)?|[<>=+*^&|@~]")
_NUMBER_IN_WORD = re.compile(r"(\d)(?=[^\W\d_])|([^\W\d_])(?=\d)")
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")
_NO_FRACTION = re.compile(r"\.0+$")

_COUNTED = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_TENS = {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "100", "thousand": "1000"}
_NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED.split())} | _TENS
_ORDINALS = {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth"}
_UNITS = {
    same: words.split()[0]
    for words in (
        "km kilometre kilometer kms", "metre meter", "cm centimetre centimeter", "mm millimetre millimeter", "mile",
        "ft foot feet", "inch", "kg kilo kilogram kilogramme kgs", "gram gramme", "mg milligram", "lb lbs", "pound",
        "ounce oz", "litre liter", "ml millilitre milliliter", "second sec", "minute", "hour hr hrs", "day", "week",
        "month", "year yr", "celsius centigrade", "fahrenheit", "percent", "dollar usd buck", "euro eur", "gbp",
        "mb megabyte", "gb gigabyte", "tb terabyte", "kb kilobyte", "volt", "watt", "kw kilowatt", "mhz megahertz",
        "ghz gigahertz", "kph kmh", "mph",
    )
    for same in words.split()
}  # fmt: skip
_SYNONYMS = {
    stem(same): stem(words.split()[0])
    for words in (
        "buy purchase", "start begin commence", "end finish", "big large", "film movie", "car automobile",
        "kid child children", "picture photo photograph image", "phone telephone", "doctor physician",
        "fast quick quickly rapidly", "often frequently", "choose select pick", "allow permit", "happen occur",
        "show display", "build construct built", "locate situate", "wrong incorrect", "correct right", "maximum max",
        "information info", "app application", "assist help assistance aid", "receive get obtain got", "mean meaning",
        "alter change modify", "author writer", "cost price", "fix repair", "stop cease", "lawyer attorney",
        "shop store", "speak talk", "forget forgot forgotten", "lose lost misplace", "write wrote written", "win won",
        "make made", "give gave given", "take took taken", "become became", "know known knew", "sing sang sung",
        "hold held", "lead led", "send sent", "pay paid", "say said", "fight fought", "bring brought", "go went gone",
        "use utilize utilise", "important significant", "entire whole",
    )
    for same in words.split()
}  # fmt: skip
# Words that carry no meaning of their own here. Need, want, or, in, off and their like are not among them.
_LIGHT_TEXT = """
a an the of is are am was were be been being for to do does did done has have had having will would can could may might
shall should must in on at with by as and that this these those there here it its they them their i me my mine we us our
you your yours u he him his she her hers who what which when where why how whose also just really actually currently
exactly please so then if whether any some about from into than not no never none nothing nobody neither nor without ok
"""
_LIGHT = frozenset(_LIGHT_TEXT.split())
_NEGATORS = frozenset(("not", "no", "never", "none", "nothing", "nobody", "neither", "nor", "without"))
_LEADING = frozenset(("from", "to", "into", "by", "than", "without"))
# Of these it counts, too, that the other question has none.
_STRICT = frozenset(("from", "by", "than", "without"))
_PERSONS = {
    word: words.split()[0]
    for words in ("i me my mine we us our", "you your yours u", "he him his", "she her hers", "they them their")
    for word in words.split()
}
_PAST = frozenset(("was", "were", "did", "had"))
_PRESENT = frozenset(("is", "are", "am", "do", "does", "has", "have"))
_PAST_FORMS_TEXT = """
became began bought broke brought built came caught chose drew fell felt fought found gave got grew held kept knew led
left lost made met paid ran rose said sang saw sent sold spent spoke stood taught thought told took went won wrote
"""
_PAST_FORMS = frozenset(_PAST_FORMS_TEXT.split())
_OBLIGED = frozenset(("must", "should", "shall"))
_ABLE = frozenset(("can", "could", "may", "might"))
_BEING = frozenset(("is", "are", "am", "was", "were"))
_AUXILIARIES = _PAST | _PRESENT | _OBLIGED | _ABLE | {"will", "would"}
_HOW_TEXT = "much many long often far old large big high late early soon fast heavy deep wide tall"
_HOW = frozenset(_HOW_TEXT.split())
_KINDS = {each: each for each in ("who", "whose", "where", "why", "when", "what")} | {"which": "what"}
_CAPITAL = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][^\W\d_]*")


@dataclass(frozen=True, slots=True)
class Reading:
    """What must agree. `content` are the stems that carry meaning, `order` these with the numbers as they
    stand in it."""

    kind: str
    content: tuple[str, ...]
    order: tuple[str, ...]
    numbers: tuple[str, ...]
    measures: frozenset[tuple[str, str]]
    negated: tuple[str, ...]
    led: frozenset[tuple[str, str]]
    further: tuple[str, ...]
    persons: frozenset[str]
    past: bool
    being: frozenset[str]
    future: bool
    obliged: bool
    able: bool


def differences(asked: str, stored: str) -> tuple[str, ...]:
    """In which ways two questions may ask something else, in words; () if they ask the same.

    >>> differences("Could you tell me how hot the oven gets?", "how hot does the oven get")
    ()
    >>> differences("How do I enable two factor login?", "How do I disable two factor login?")
    ('words: enabl, disabl',)
    >>> differences("flights from Paris to Rome", "flights from Rome to Paris")
    ('direction: from paris, from rome, to paris, to rome',)
    """
    one, other = reading(asked), reading(stored)
    found: list[str] = []

    def compare(label: str, first: Iterable[str], second: Iterable[str]) -> None:
        mine, theirs = Counter(first), Counter(second)
        if mine != theirs:
            found.append(f"{label}: {', '.join([*(mine - theirs).elements(), *(theirs - mine).elements()])}")

    compare("numbers", one.numbers, other.numbers)
    if one.numbers == other.numbers:
        compare("units", map(" ".join, one.measures), map(" ".join, other.measures))
    compare("words", one.content, other.content)
    if one.kind != other.kind and {one.kind, other.kind} != {"", "what"}:
        found.append(f"kind of answer: {one.kind or 'none'}, {other.kind or 'none'}")
    compare("question words", one.further, other.further)
    compare("negation", one.negated, other.negated)
    if others := _led_otherwise(one, other):
        found.append(f"direction: {', '.join(others)}")
    compare("person", one.persons, other.persons)
    if one.past != other.past or (one.being and other.being and one.being != other.being):
        found.append("time: then, now")
    if one.future != other.future:
        found.append("time: to come")
    if one.obliged != other.obliged:
        found.append("obligation")
    if one.able != other.able:
        found.append("ability")
    # Another sequence may turn a question round ("did A beat B") or make an order of it ("play a song").
    if not found and one.order != other.order:
        found.append("order of the words")
    if not found and len(one.order) < (1 if one.kind and other.kind else 2):
        found.append("nothing to compare")
    return tuple(found)


@lru_cache(maxsize=4096)
def reading(question: str) -> Reading:
    """What is compared of a question.

    >>> reading("Could you tell me how many litres the kettle holds, please?").kind
    'how many'
    >>> reading("Could you tell me how many litres the kettle holds, please?").content
    ('litre', 'kettl', 'hold')
    """
    plain = _unwrapped(_expanded(_marked(question).casefold()))
    for pattern, replacement in _SAME:
        plain = pattern.sub(replacement, plain)
    found = [match[0] for match in _TOKEN.finditer(_NUMBER_IN_WORD.sub(r"\1\2 ", _ordinals(plain)))]
    tokens = [_NUMBERS.get(token, token) for token in found]
    kind, tokens = _kind(tokens)
    words: list[str] = []
    order: list[str] = []
    numbers: list[str] = []
    measures: set[tuple[str, str]] = set()
    negated: list[str] = []
    led: set[tuple[str, str]] = set()
    leading, negating = "", 0
    for place, token in enumerate(tokens):
        if token[-1].isdigit():
            concept = _NO_FRACTION.sub("", _THOUSANDS.sub("", token))
            numbers.append(concept)
            beside = (tokens[place + 1 : place + 2], tokens[max(place - 1, 0) : place])
            if unit := next((unit for near in beside for word in near if (unit := _UNITS.get(_singular(word)))), None):
                measures.add((concept, unit))
        elif token in _NEGATORS:
            negating += 1
            continue
        elif token in _LIGHT:
            leading = token if token in _LEADING else leading
            continue
        else:
            concept = _concept(token)
            words.append(concept)
        order.append(concept)
        if negating:
            negated += [concept] * negating
            negating = 0
        if leading:
            led.add((leading, concept))
            leading = ""
    if negating:
        negated += [""] * negating
    said = frozenset(tokens)
    return Reading(
        kind=kind,
        content=tuple(words),
        order=tuple(order),
        numbers=tuple(sorted(numbers)),
        measures=frozenset(measures),
        negated=tuple(sorted(negated)),
        led=frozenset(led),
        further=_further(kind, tokens),
        persons=frozenset(_PERSONS[word] for word in said if word in _PERSONS),
        past=bool(said & _PAST) or (not said & _AUXILIARIES and any(map(_is_past, tokens))),
        being=frozenset("then" if word in ("was", "were") else "now" for word in said & _BEING),
        future="will" in said,
        obliged=bool(said & _OBLIGED),
        able=kind != "how" and bool(said & _ABLE),
    )


def _expanded(text: str) -> str:
    for pattern, said in _CONTRACTIONS:
        text = pattern.sub(said, text)
    return " ".join(text.split())


def _unwrapped(text: str) -> str:
    """Without what stands around the question; a text that is nothing else stays."""
    while True:
        before = text
        for pattern in _BEHIND:
            text = pattern.sub("", text)
        for pattern in _BEFORE:
            match = pattern.match(text)
            if match and len(text) > match.end() + 2:
                text = text[match.end() :].lstrip()
        if text == before:
            return text


def _ordinals(text: str) -> str:
    for short, word in _ORDINALS.items():
        text = re.sub(rf"\b{short}\b", word, text)
    return text


def _kind(tokens: Sequence[str]) -> tuple[str, list[str]]:
    """What kind of answer is asked for, and the other words. "" where nothing says so."""
    if tokens and tokens[0] in _AUXILIARIES:
        return "yes or no", list(tokens)
    for place, word in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if word.startswith("when_"):
            return f"what {word[5:]}", [*tokens[:place], *tokens[place + 1 :]]
        if word == "what_kind":
            return "what kind", [*tokens[:place], *tokens[place + 1 :]]
        if word == "how" and following in _HOW:
            return f"how {following}", [*tokens[:place], *tokens[place + 2 :]]
        if word == "how":
            return "how", list(tokens)
        if word in _KINDS:
            return _KINDS[word], list(tokens)
    return "", list(tokens)


def _further(kind: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """The question words beside the one that says what kind of answer is asked for: "who sang when ..."."""
    found = [_KINDS.get(word, word) for word in tokens if word in _KINDS or word == "how" or word.startswith("when_")]
    if kind in found:
        found.remove(kind)
    return tuple(sorted(found))


def _concept(word: str) -> str:
    unit = _UNITS.get(_singular(word))
    if unit is not None and len(word) > 2:
        return unit
    found = stem(word)
    return _SYNONYMS.get(found, found)


def _is_past(word: str) -> bool:
    return word in _PAST_FORMS or (len(word) > 4 and word.endswith("ed"))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word not in _UNITS else word


def _marked(question: str) -> str:
    """The question with a mark on words such as "US", "IT" or "Will" that a capital tells from light ones; as it is
    where most words have a capital."""
    found = _CAPITAL.findall(question)
    if 2 * len(found) > len(question.split()):
        return question
    return _CAPITAL.sub(lambda match: f"{match[0]}_word" if _is_light(match[0]) else match[0], question)


def _is_light(word: str) -> bool:
    return word != "I" and word.casefold() in _LIGHT


def _led_otherwise(one: Reading, other: Reading) -> list[str]:
    """Words behind "from", "to" and their like where the other question leads another word in that way; behind some,
    where it leads none."""
    told: list[str] = []
    for word in sorted(_LEADING):
        mine = {concept for led, concept in one.led if led == word}
        theirs = {concept for led, concept in other.led if led == word}
        if mine != theirs and (word in _STRICT or (mine and theirs)):
            told += [f"{word} {concept}" for concept in sorted(mine ^ theirs)]
    return told
