"""Sentences with facts in them: "no ARP request for {pod.gateway_ip} was answered"."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.errors import bounded
from bot.domain.facts import VARIABLES, FactTable, Subject, SubjectKind, Value
from bot.domain.listing import and_more
from bot.rules.checking import Vocabulary
from bot.rules.problems import did_you_mean, one_of
from bot.rules.syntax import ExpressionError

_FIELD = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}")
_REFERENCE = re.compile(r"([a-z]+)(?:\.([a-z0-9_]+))?")
_MAX_VALUE = 600
"""As long as the longest message that is kept whole, that of a failed sandbox."""
_MAX_ITEMS = 5
_MOST_VALUES = 2
_MAX_COMMANDS = 64
"""As many as the subjects for which commands are written out."""
Fill = Callable[[str, FactTable, Mapping[str, Subject]], str]
NOT_OBSERVED = "(not observed)"
PARTS = {"namespace": 0, "name": 2}
"""What a pod's or a Service's own name gives: `{pod.namespace}`, `{pod.name}`."""
ENDS = "nodes"
"""What a rule about a pair may write for its two nodes, of several pairs for the nodes of all."""
NAMESPACED = frozenset({SubjectKind.POD, SubjectKind.SERVICE})


@dataclass(frozen=True, slots=True)
class Template:
    """A checked sentence.

    `{pod.fact}` is a value, `{pod}` the subject's own name, `{nodes}` the two of a pair, `{{` a brace.
    """

    source: str
    subject: SubjectKind
    raw: frozenset[str] = frozenset()
    """Fields whose values are commands of ours, which a shell is to read."""

    def render(self, facts: FactTable, subject: Subject) -> str:
        """The sentence about one subject; what has no value reads "(not observed)"."""
        return self._filled(_sentence_value, facts, subject)

    def of_several(self, facts: FactTable, subjects: Sequence[Subject]) -> str:
        """One sentence about several subjects: of values that differ two are listed, more cut to their beginning."""
        contexts = _from_one_node([facts.relations.context(subject) for subject in subjects])

        def filled(field: re.Match[str]) -> str:
            if field[1]:
                return field[1][:1]
            if field[2] == ENDS:
                return _ends(contexts)
            values = dict.fromkeys(_sentence_value(field[2], facts, context) for context in contexts)
            is_node = all(field[2] in each and each[field[2]].kind is SubjectKind.NODE for each in contexts)
            return _joined(list(values)) if is_node else _shared(values)

        return _once(_FIELD.sub(filled, self.source))

    @property
    def fields(self) -> tuple[str, ...]:
        """What it reads, in order: "pod.own_dev", "node"."""
        return tuple(field for brace, field in _FIELD.findall(self.source) if not brace)

    def unknown(self, facts: FactTable, subject: Subject) -> tuple[str, ...]:
        """The fields without a value that a command could take."""
        context = facts.relations.context(subject)
        return tuple(field for field in self.fields if _words(field, facts, context) is None)

    def commands(self, facts: FactTable, subject: Subject) -> tuple[str, ...]:
        """The same for a shell, values quoted: one command, of a list one for each item; none without a value."""
        context = facts.relations.context(subject)
        values = {field: _words(field, facts, context) for field in self.fields}
        many = max((len(words) for words in values.values() if words is not None), default=1)
        if any(words is None for words in values.values()):
            return ()
        return tuple(self._command(values, index) for index in range(min(many, _MAX_COMMANDS)))

    def _command(self, values: Mapping[str, Sequence[str] | None], index: int) -> str:
        def filled(field: re.Match[str]) -> str:
            words = values.get(field[2])
            if field[1] or not words:
                return field[1][:1] if field[1] else ""
            text = words[min(index, len(words) - 1)]
            return text if field[2] in self.raw else quoted(text)

        return _FIELD.sub(filled, self.source)

    def _filled(self, value: Fill, facts: FactTable, subject: Subject) -> str:
        context = facts.relations.context(subject)
        said = _FIELD.sub(lambda field: field[1][:1] if field[1] else value(field[2], facts, context), self.source)
        return _once(said)


def _once(said: str) -> str:
    """What was not observed stands in one pair of parentheses, also where a value would stand in some."""
    return said.replace(f"({NOT_OBSERVED})", NOT_OBSERVED)


def _ends(contexts: Sequence[Mapping[str, Subject]]) -> str:
    """The nodes of all pairs, each once."""
    return _joined(list(dict.fromkeys(context[end].name for context in contexts for end in ("src", "dst"))))


def _from_one_node(contexts: Sequence[Mapping[str, Subject]]) -> Sequence[Mapping[str, Subject]]:
    """Of directions between one node and others, both ways, those that leave it: each value stays with its node."""
    if len(contexts) < 2 or not all("src" in each for each in contexts):
        return contexts
    ways = [(each["src"], each["dst"]) for each in contexts]
    shared = set[Subject].intersection(*map(set[Subject], ways))
    for hub in filter(shared.__contains__, ways[0]):
        if {source if target == hub else target for source, target in ways} <= {to for of, to in ways if of == hub}:
            return [each for each in contexts if each["src"] == hub]
    return contexts


def _joined(names: Sequence[str]) -> str:
    if len(names) > _MAX_ITEMS:
        return and_more(names, _MAX_ITEMS)
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _shared(values: Iterable[str]) -> str:
    """Different values as one: up to two of them by name, of more their common beginning, or two and their number."""
    distinct = list(values)
    if len(distinct) <= _MOST_VALUES:
        return " and ".join(distinct)
    same = 0
    while same < len(distinct[0]) and all(value[: same + 1] == distinct[0][: same + 1] for value in distinct):
        same += 1
    return f"{distinct[0][:same]}*" if same else and_more(distinct, _MOST_VALUES)


def template(source: str, vocabulary: Vocabulary, subject: SubjectKind) -> Template:
    """The checked template.

    Raises ExpressionError for a name that no rule about `subject` can read.
    """
    raw: set[str] = set()
    for brace, field in _FIELD.findall(source):
        if brace:
            continue
        match = _REFERENCE.fullmatch(field)
        if match is None:
            msg = f"{{{field}}} is not a fact: write {{variable.fact}}"
            raise ExpressionError(msg)
        if match[2] in PARTS and VARIABLES[subject].get(match[1]) in NAMESPACED:
            continue
        if field == ENDS and subject is SubjectKind.PAIR:
            continue
        if match[2] is not None:
            if vocabulary.spec(subject, match[1], match[2]).is_command:
                raw.add(field)
        elif match[1] not in VARIABLES[subject]:
            known = list(VARIABLES[subject])
            msg = f"a rule about a {subject} names {one_of(known)}, not {match[1]!r}{did_you_mean(match[1], known)}"
            raise ExpressionError(msg)
    if re.search(r"[{}]", _FIELD.sub("", source)):
        msg = "a brace is not closed"
        raise ExpressionError(msg)
    return Template(source, subject, frozenset(raw))


def shown(value: Value) -> str:
    """A fact's value for people: bounded, on one line."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case tuple():
            return and_more([bounded(str(item), _MAX_VALUE) for item in value], _MAX_ITEMS) or "none"
        case _:
            return bounded(str(value), _MAX_VALUE)


def _find(field: str, facts: FactTable, context: Mapping[str, Subject]) -> Value | None:
    variable, _, key = field.partition(".")
    if variable not in context:
        return None
    of = context[variable]
    if not key:
        return of.name or "the cluster"
    if key in PARTS and of.kind in NAMESPACED:
        return of.name.partition("/")[PARTS[key]]
    return facts.of(context[variable]).get(key)


def _sentence_value(field: str, facts: FactTable, context: Mapping[str, Subject]) -> str:
    if field == ENDS and "src" in context:
        return _ends([context])
    value = _find(field, facts, context)
    return NOT_OBSERVED if value is None else shown(value)


def _words(field: str, facts: FactTable, context: Mapping[str, Subject]) -> Sequence[str] | None:
    """What a field gives a command; None where nothing is there, or what a command would take for an option."""
    value = _find(field, facts, context)
    words = [shown(one) for one in value] if isinstance(value, tuple) else [] if value is None else [shown(value)]
    return words if words and not any(not word or word.startswith("-") for word in words) else None


def quoted(text: str) -> str:
    """A value as one word: what a shell would read is quoted, for it comes from a cluster; names stay readable."""
    return text if re.fullmatch(r"[A-Za-z0-9_.:/@-]+", text) else shlex.quote(text)
