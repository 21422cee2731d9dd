"""Structure stays structure: nobody takes a value out of a sentence that cnibot itself wrote.

Looked for in everything that reads findings, causes and reports, as far as names tell: a regular expression, a search
or a comparison on an attribute or a variable that is called like prose.
"""

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import pytest

from tests.architecture.tree import ROOT

READERS = (
    *("probes", "causes", "known_issues", "playbooks", "alerts", "remediation", "cluster", "diagnosis", "incidents"),
    *("render", "slack", "web", "gym", "cli", "app"),
)
PROSE = {"sentence", "sentences", "summary", "title", "mechanism", "what", "why", "detail", "explanation", "text"} | {
    "evidence_for",
    "evidence_against",
    "look_alikes",
    "next_steps",
    "unobserved",
    "open",
    "remedy",
}
"""What fields of findings, causes and reports are called that hold sentences, and variables that hold one of them."""
WRITTEN = {"subject", "subjects", "place"}
"""Written values that `bot.domain.subject_name` reads; comparing them whole is no parsing."""
SEARCHES = {"startswith", "endswith", "partition", "rpartition", "split", "rsplit", "find", "index"} | {
    "removeprefix",
    "removesuffix",
}
PATTERNS = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub"}

ALLOWED = {
    "bot/alerts/matchers.py": (5, "text that Alertmanager's configuration has"),
    "bot/alerts/slack_message.py": (6, "text that Alertmanager posted"),
    "bot/cli/plans.py": (1, "text that a person typed"),
    "bot/cluster/access/exec_script.py": (2, "output of the pod's own programs"),
    "bot/cluster/access/node_agents.py": (1, "text of the API server's refusal"),
    "bot/cluster/access/pod_start.py": (3, "text of the API server's refusals"),
    "bot/cluster/access/proc_text.py": (6, "text of /proc"),
    "bot/cluster/client/api_addresses.py": (2, "text of an address"),
    "bot/cluster/snapshot/dialled.py": (5, "text of a container's configuration"),
    "bot/gym/generated/mechanisms/netfilter.py": (3, "text of a packet filter's match"),
    "bot/gym/generated/outcome.py": (
        1,
        "what a reader learns of the prose; no cause hangs on it",
    ),
    "bot/diagnosis/judge.py": (1, "where a node's report lacks something: an identifier, not a sentence"),
    "bot/known_issues/drafting.py": (1, "the mark that a person has to replace, in that person's file"),
    "bot/known_issues/versions.py": (2, "text of a version"),
    "bot/probes/cni_inventory/observe.py": (2, "text of a CNI's configuration file"),
    "bot/probes/ebpf/observe.py": (2, "identifiers of a node's report: what it lacks, where a program is attached"),
    "bot/probes/filters/naming.py": (1, "text of a packet filter's rule"),
    "bot/probes/filters/walking.py": (1, "text of a prefix"),
    "bot/probes/network_policies/stale.py": (1, "text of a packet filter's rule"),
    "bot/probes/filters/deletion.py": (2, "text of a packet filter's rule"),
    "bot/probes/node_kernel/observe.py": (3, "text of a packet filter's rule"),
    "bot/probes/pod_start/refusals.py": (4, "text of the scheduler's and kubelet's events"),
    "bot/probes/policy/calico_selector.py": (1, "text of a selector"),
    "bot/probes/resolver/observe.py": (2, "text of a pod's resolver file"),
    "bot/probes/services/needed.py": (2, "text of a protocol"),
    "bot/probes/shared/dns_zone.py": (1, "text of a CoreDNS configuration"),
    "bot/probes/shared/sentences.py": (1, "cutting between words"),
    "bot/probes/shared/pod_views.py": (1, "text of a sysctl"),
    "bot/render/brief.py": (1, "the nodes of a verdict's place, one string in the report's contract"),
    "bot/render/markdown.py": (1, "escaping"),
    "bot/render/pictures/canvas.py": (1, "wrapping lines"),
    "bot/slack/commands.py": (4, "text that a person typed"),
    "bot/slack/handlers/alerts.py": (3, "text that Alertmanager posted"),
    "bot/slack/incoming.py": (3, "the kind of a message of Slack, and text that is no Unicode"),
    "bot/slack/outbox/failures.py": (1, "text of Slack's error"),
    "bot/slack/views/evidence.py": (1, "a file's name out of any text"),
    "bot/slack/views/quiet.py": (1, "mentions, which a quiet channel shows as text"),
    "bot/slack/views/text.py": (4, "escaping and cutting"),
}
"""How often a file may do it, and what it is that it reads there."""


def is_prose(node: ast.expr, names: AbstractSet[str] = PROSE) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in names
        case ast.Subscript(value=inner):  # fix.subjects[0]
            return is_prose(inner, names)
        case ast.Call(args=[inner, *_]):  # clean(one.sentence)
            return is_prose(inner, names)
        case ast.BinOp(left=left, right=right):
            return is_prose(left, names) or is_prose(right, names)
        case _:
            return False


def reads_prose(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=name, value=value), args=args):
            values = [value] if name in SEARCHES else []
            values += args if name in PATTERNS else []
            return any(is_prose(each) or is_prose(each, WRITTEN) for each in values)
        case ast.Compare(left=left, ops=ops, comparators=right) if any(
            isinstance(op, ast.In | ast.NotIn) for op in ops
        ):
            return is_text(left) and any(map(is_prose, right))
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            return is_prose(left) and is_text(right) and not is_empty(right)
        case _:
            return False


def is_text(node: ast.expr) -> bool:
    """What can stand in a sentence: not a number, not None."""
    return not (isinstance(node, ast.Constant) and not isinstance(node.value, str))


def is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def found(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if reads_prose(node):
            yield ast.unparse(node)


def all_found() -> dict[str, list[str]]:
    files = (path for room in READERS for path in sorted((ROOT / "bot" / room).rglob("*.py")))
    return {str(path.relative_to(ROOT)): hits for path in files if (hits := list(found(path.read_text("utf-8"))))}


def test_nobody_parses_our_own_sentences() -> None:
    wrong = {path: hits for path, hits in all_found().items() if len(hits) > ALLOWED.get(path, (0, ""))[0]}

    assert wrong == {}, "give the value a field of its own (bot/domain/report.py); an exception belongs in ALLOWED"
    assert ALLOWED.keys() <= all_found().keys()


@pytest.mark.parametrize(
    "source",
    [
        "one.sentence.endswith('is not refuted')",
        "_WHAT.fullmatch(each.what)",
        "re.search('x', finding.sentence)",
        "HEADLESS in finding.sentence",
        "'not seen' in each.why + each.what",
        "text.partition(': ')",
        "each.what == f'node {node}'",
        "clean(one.summary).startswith('No')",
        "fix.subjects[0].partition(' ')",
    ],
)
def test_what_it_looks_for(source: str) -> None:
    assert list(found(source)) == [ast.unparse(ast.parse(source).body[0])]


@pytest.mark.parametrize("source", ["one.sentence.rstrip('.')", "if one.why == '': pass", "print(one.sentence)"])
def test_what_it_leaves_alone(source: str) -> None:
    assert list(found(source)) == []
