"""Sentences with facts in them: "no ARP request for {pod.gateway_ip} was answered"."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.domain.errors import bounded
from bot.domain.facts import VARIABLES, FactTable, Subject, SubjectKind, Value
from bot.rules.checking import Vocabulary
from bot.rules.problems import did_you_mean, one_of
from bot.rules.syntax import ExpressionError

_FIELD = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}")
_REFERENCE = re.compile(r"([a-z]+)(?:\.([a-z0-9_]+))?")
_MAX_VALUE = 200
_MAX_ITEMS = 5
Fill = Callable[[str, FactTable, Mapping[str, Subject]], str]
NOT_OBSERVED = "(not observed)"


@dataclass(frozen=True, slots=True)
class Template:
    """A checked sentence. `{pod.fact}` is a value, `{pod}` the subject's own name, `{{` a brace."""

    source: str
    subject: SubjectKind

    def render(self, facts: FactTable, subject: Subject) -> str:
        """The sentence about one subject; what has no value reads "(not observed)"."""
        return self._filled(_sentence_value, facts, subject)

    def command(self, facts: FactTable, subject: Subject) -> str:
        """The same for a shell: values are quoted, an unobserved one is a placeholder such as <own_dev>."""
        return self._filled(_command_value, facts, subject)

    def _filled(self, value: Fill, facts: FactTable, subject: Subject) -> str:
        context = facts.relations.context(subject)
        return _FIELD.sub(lambda field: field[1][:1] if field[1] else value(field[2], facts, context), self.source)


def template(source: str, vocabulary: Vocabulary, subject: SubjectKind) -> Template:
    """The checked template.

    Raises ExpressionError for a name that no rule about `subject` can read.
    """
    for brace, field in _FIELD.findall(source):
        if brace:
            continue
        match = _REFERENCE.fullmatch(field)
        if match is None:
            msg = f"{{{field}}} is not a fact: write {{variable.fact}}"
            raise ExpressionError(msg)
        if match[2] is not None:
            vocabulary.spec(subject, match[1], match[2])
        elif match[1] not in VARIABLES[subject]:
            known = list(VARIABLES[subject])
            msg = f"a rule about a {subject} names {one_of(known)}, not {match[1]!r}{did_you_mean(match[1], known)}"
            raise ExpressionError(msg)
    if re.search(r"[{}]", _FIELD.sub("", source)):
        msg = "a brace is not closed"
        raise ExpressionError(msg)
    return Template(source, subject)


def shown(value: Value) -> str:
    """A fact's value for people: bounded, on one line."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case tuple():
            items = [bounded(str(item), _MAX_VALUE) for item in value[:_MAX_ITEMS]]
            more = f" and {len(value) - _MAX_ITEMS} more" if len(value) > _MAX_ITEMS else ""
            return ", ".join(items) + more if items else "none"
        case _:
            return bounded(str(value), _MAX_VALUE)


def _find(field: str, facts: FactTable, context: Mapping[str, Subject]) -> Value | None:
    variable, _, key = field.partition(".")
    if variable not in context:
        return None
    if not key:
        return context[variable].name or "the cluster"
    return facts.of(context[variable]).get(key)


def _sentence_value(field: str, facts: FactTable, context: Mapping[str, Subject]) -> str:
    value = _find(field, facts, context)
    return NOT_OBSERVED if value is None else shown(value)


def _command_value(field: str, facts: FactTable, context: Mapping[str, Subject]) -> str:
    value = _find(field, facts, context)
    text = "" if value is None else shown(value)
    if not text or text.startswith("-"):  # nothing there, or what a command would take for an option
        return f"<{field.rpartition('.')[2]}>"
    # "node-1/x" style names stay readable; anything a shell would read is quoted: it comes from a cluster.
    return text if re.fullmatch(r"[A-Za-z0-9_.:/@-]+", text) else shlex.quote(text)
