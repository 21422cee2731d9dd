"""What people type, after `/cni` or `@cni`: one grammar for both.

Typed text is forgiving where nothing can be mistaken: upper case, extra blanks, smart quotes, backticks, a trailing
full stop, and the links that Slack makes of what looks like one. It is strict about what it then says: a name that no
Kubernetes object can have is refused with a sentence, never passed on.

Source: https://docs.slack.dev/interactivity/implementing-slash-commands/ (how Slack escapes users, channels and links)
"""

import difflib
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.domain.errors import bounded
from bot.slack import plan_commands
from bot.slack.plan_commands import ListPlans, PlanCommand, ResumePlans, StopPlans

MAX_TEXT = 1000
"""Longer text is nobody's command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnose:
    """Why the pods of a namespace cannot talk."""

    namespace: str
    pod: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Whether clusters answer, what runs and what waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListIncidents:
    """The open incidents, with links to their threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWatch:
    """Diagnose a namespace regularly, and say here when its verdict changes."""

    namespace: str
    cluster: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWatch:
    """No longer watch a namespace in this channel."""

    namespace: str
    cluster: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlaybooks:
    """The playbooks: what is checked, and in which order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssues:
    """The known issues, or one of them with all that is known about it."""

    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Keep these words with the incident of this thread."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Who takes care of the incident of this thread."""

    user: str | None
    """Their id; "" for nobody, None for whoever says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """What can be typed, and what you may do."""


Command = (
    Diagnose
    | Status
    | ListIncidents
    | StartWatch
    | StopWatch
    | Note
    | Assign
    | ListPlaybooks
    | KnownIssues
    | PlanCommand
    | ListPlans
    | StopPlans
    | ResumePlans
    | Help
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Text that is no command."""

    sentence: str
    """What is wrong, and what to type. Plain text: escape it."""
    nearest: str = ""
    """The command that may have been meant, without `/cni`."""


def parse(text: str) -> Command | Mistake:
    """The command that the text is, else what is wrong with it. Nothing typed is a call for help."""
    if len(text) > MAX_TEXT:
        return Mistake(sentence=f"That is longer than {MAX_TEXT} characters.", nearest="help")
    words = _words(text)
    if not words:
        return Help()
    verb = _VERBS.get(words[0].lower())
    if verb is None:
        return _unknown(words)
    if verb.takes_prose:
        rest = text.split(maxsplit=1)[1:]
        return verb.read([rest[0].strip()] if rest else [])
    return verb.read(words[1:])


def spelled(command: Command) -> str:  # noqa: PLR0911 one a kind of command
    """How the command is typed, without `/cni`: `parse` reads it as the same command."""
    match command:
        case Diagnose(namespace=namespace, pod=pod, cluster=cluster):
            return f"diagnose{_spelled(namespace=namespace, pod=pod, cluster=cluster)}"
        case StartWatch(namespace=namespace, cluster=cluster):
            return f"watch{_spelled(namespace=namespace, cluster=cluster)}"
        case StopWatch(namespace=namespace, cluster=cluster):
            return f"unwatch{_spelled(namespace=namespace, cluster=cluster)}"
        case KnownIssues(id=issue):
            return f"known-issues {issue or ''}".strip()
        case Note() | Assign():
            return _spelled_in_thread(command)
        case PlanCommand() | ListPlans() | StopPlans() | ResumePlans():
            return plan_commands.spelled(command)
        case Status() | ListIncidents() | ListPlaybooks() | Help():
            return _ALONE[type(command)]


def _spelled_in_thread(command: Note | Assign) -> str:
    if isinstance(command, Note):
        return f"note {html.escape(command.text, quote=False)}"
    if command.user is None:
        return "assign me"
    return f"assign <@{command.user}>" if command.user else "assign nobody"


_ALONE = {
    Status: "status",
    ListIncidents: "incidents",
    ListPlaybooks: "playbooks",
    Help: "help",
}


def _spelled(*, namespace: str, pod: str | None = None, cluster: str | None = None) -> str:
    first = f" namespace {namespace}" if namespace in {"namespace", "pod", "cluster", "ns"} else f" {namespace}"
    return first + (f" pod {pod}" if pod else "") + (f" cluster {cluster}" if cluster else "")


@dataclass(frozen=True, slots=True)
class _Verb:
    usage: str
    read: Callable[[Sequence[str]], Command | Mistake]
    takes_prose: bool = False
    """What follows is one text as it was typed, not words."""


def _diagnose(words: Sequence[str]) -> Command | Mistake:
    named = _named(words, ("namespace", "pod", "cluster"))
    if isinstance(named, Mistake):
        return named
    namespace, slash, pod = named.get("namespace", "").partition("/")
    if slash:
        if named.get("pod", pod) != pod:
            return Mistake(sentence="Two different pods are named.", nearest=f"diagnose {namespace} pod {pod}")
        named = {**named, "namespace": namespace, "pod": pod}
    found = _checked(named, "diagnose")
    return found or Diagnose(namespace=namespace, pod=named.get("pod"), cluster=named.get("cluster"))


def _start_watch(words: Sequence[str]) -> Command | Mistake:
    named = _named(words, ("namespace", "cluster"))
    if isinstance(named, Mistake):
        return named
    return _checked(named, "watch") or StartWatch(namespace=named["namespace"], cluster=named.get("cluster"))


def _stop_watch(words: Sequence[str]) -> Command | Mistake:
    named = _named(words, ("namespace", "cluster"))
    if isinstance(named, Mistake):
        return named
    return _checked(named, "unwatch") or StopWatch(namespace=named["namespace"], cluster=named.get("cluster"))


def _known_issues(words: Sequence[str]) -> Command | Mistake:
    if not words:
        return KnownIssues()
    if len(words) > 1 or not _ISSUE.fullmatch(words[0].lower()):
        return Mistake(sentence="One known issue at a time, by its id.", nearest="known-issues")
    return KnownIssues(id=words[0].lower())


def _note(words: Sequence[str]) -> Command | Mistake:
    text = plain(words[0]).strip() if words else ""
    return Note(text=text) if text else Mistake(sentence="Which note? Type `note TEXT`.")


def _assign(words: Sequence[str]) -> Command | Mistake:
    who = words[0] if words else "me"
    if who.lower() in {"me", "nobody"}:
        return Assign(user=None if who.lower() == "me" else "")
    found = _USER.fullmatch(who)
    return Assign(user=found[1]) if found else Mistake(sentence="To whom? Type `assign @NAME`, or `me`, or `nobody`.")


def _alone(command: Command) -> Callable[[Sequence[str]], Command]:
    """A command that takes nothing; words after it are politely overlooked ("status please")."""
    return lambda _: command


_VERBS = {
    "diagnose": _Verb("diagnose NAMESPACE [pod NAME] [cluster NAME]", _diagnose),
    "status": _Verb("status", _alone(Status())),
    "incidents": _Verb("incidents", _alone(ListIncidents())),
    "watch": _Verb("watch NAMESPACE [cluster NAME]", _start_watch),
    "unwatch": _Verb("unwatch NAMESPACE [cluster NAME]", _stop_watch),
    "note": _Verb("note TEXT", _note, takes_prose=True),
    "assign": _Verb("assign @NAME", _assign, takes_prose=True),
    "playbooks": _Verb("playbooks", _alone(ListPlaybooks())),
    "known-issues": _Verb("known-issues [ID]", _known_issues),
    "plan": _Verb("plan WHAT … [cluster NAME]", plan_commands.plan),
    "plans": _Verb("plans", _alone(ListPlans())),
    "stop": _Verb("stop [REASON]", plan_commands.stop),
    "resume": _Verb("resume", _alone(ResumePlans())),
    "help": _Verb("help", _alone(Help())),
}

_SUGGESTED = [verb for verb in _VERBS if verb not in {"stop", "resume"}]
"""Nobody is led to the kill switch by a mistyped namespace."""

USAGE = tuple(verb.usage for verb in _VERBS.values())
"""How each command is typed, without `/cni`."""

_OTHER_WORDS = {
    "diag": "diagnose", "diagnosis": "diagnose", "check": "diagnose", "debug": "diagnose", "why": "diagnose",
    "incident": "incidents", "list": "incidents", "ls": "incidents", "health": "status", "ping": "status",
    "issue": "known-issues", "issues": "known-issues", "known": "known-issues", "knownissues": "known-issues",
    "playbook": "playbooks", "monitor": "watch", "usage": "help", "?": "help", "hi": "help",
}  # fmt: skip
"""What people type who have not read the help; only ever suggested."""

_CHANGES = frozenset({"fix", "rollback", "approve", "undo", "apply", "repair", "heal", "restart"})
_NO_CHANGE = (
    "One word changes nothing. `plan WHAT` proposes a change, and another person approves it on its card; `plans` "
    "lists what is waiting. The commands that fix a fault are in its verdict, under Do now."
)

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_POD = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,252}")
_USER = re.compile(r"<@([UW][A-Z0-9]{2,20})(?:\|[^<>]*)?>")
_ISSUE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
MAX_POD = 253


def is_namespace(name: str) -> bool:
    """Whether a namespace can have this name (RFC 1123 label)."""
    return bool(_NAMESPACE.fullmatch(name))


def is_pod(name: str) -> bool:
    """Whether a pod or a workload can have this name (RFC 1123 subdomain)."""
    return len(name) <= MAX_POD and bool(_POD.fullmatch(name))


_TOKEN = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202a\u202b\u202c\u202d\u202e"))
_AROUND = "\"'`*_~()[]{}.,;:!#@\u00ab\u00bb" + "".join(map(chr, range(0x2018, 0x2020)))
"""What stands around a name in prose or markup, and in no name's first or last place; typographic quotes too."""


def plain(text: str) -> str:
    """Slack's text as a person typed it: tokens in angle brackets become what they showed, entities become signs."""

    def shown(token: re.Match[str]) -> str:
        target, label = token.group(1), token.group(2)
        if target[:1] in {"@", "!"}:
            return ""  # people and broadcasts are nobody's names of objects
        if label or target[:1] == "#":
            return label or ""
        return re.sub(r"^(?:https?://|mailto:)", "", target).rstrip("/")

    return html.unescape(_TOKEN.sub(shown, text)).translate(_INVISIBLE)


def without_mention(text: str, bot_user: str) -> str:
    """The text of a mention without the mention of ourselves, wherever it stands. Errors: none."""
    return re.sub(rf"<@{re.escape(bot_user)}(?:\|[^<>]*)?>", " ", text)


_FLAG = re.compile("^(?:--?|\u2014|\u2013)(?=[A-Za-z])")
_SHORT = {"n": "namespace", "ns": "namespace", "p": "pod", "c": "cluster", "context": "cluster"}


def _words(text: str) -> list[str]:
    """The words: markup gone from their edges, `name=value` and `--name value` as two words."""
    words: list[str] = []
    for raw in plain(text).split():
        word = raw.strip(_AROUND)
        name, sign, value = word.partition("=")
        is_pair = bool(sign) and _FLAG.sub("", name).lower() in {"namespace", "pod", "cluster", *_SHORT}
        words += [name, value.strip(_AROUND)] if is_pair else [word]
    return [word for word in words if word]


def _named(words: Sequence[str], names: Sequence[str]) -> dict[str, str] | Mistake:
    """The values by name; the first bare word is the namespace."""
    named: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key = _key(word, names, is_first="namespace" not in named and not rest)
        if key is None:
            if "namespace" in named:
                return Mistake(sentence=f"What is {bounded(word, 60)!r}? {_expected(names)}")
            key, value = "namespace", word
        elif not rest:
            return Mistake(sentence=f"After `{key}` comes a name.")
        else:
            value = rest.pop(0)
        if named.setdefault(key, value) != value:
            return Mistake(sentence=f"`{key}` is given twice, and differently.")
    return {key: value if key == "cluster" else value.lower() for key, value in named.items()}


def _key(word: str, names: Sequence[str], *, is_first: bool) -> str | None:
    """The name that this word announces; a namespace may be called "pod" where nothing else is said."""
    is_flag = bool(_FLAG.match(word))
    key = _FLAG.sub("", word).lower()
    key = _SHORT.get(key, key) if is_flag or key == "ns" else key
    return key if key in names and (is_flag or not is_first) else None


def _expected(names: Sequence[str]) -> str:
    options = " and ".join(f"`{name} NAME`" for name in names if name != "namespace")
    return f"After the namespace may come {options}."


def _checked(named: dict[str, str], verb: str) -> Mistake | None:
    """What is wrong with the names; None when they can exist."""
    if not named.get("namespace"):
        return Mistake(sentence=f"Which namespace? Type `{_VERBS[verb].usage}`.")
    if not is_namespace(named["namespace"]):
        shown = bounded(named["namespace"], 60)
        return Mistake(sentence=f"No namespace can be called {shown!r}: lower-case letters, digits and hyphens only.")
    pod = named.get("pod")
    if pod is not None and not is_pod(pod):
        return Mistake(sentence=f"No pod can be called {bounded(pod, 60)!r}.", nearest=f"{verb} {named['namespace']}")
    cluster = named.get("cluster")
    if cluster is not None and not _CLUSTER.fullmatch(cluster):
        return Mistake(sentence=f"No cluster can be called {bounded(cluster, 60)!r}.")
    return None


def _unknown(words: Sequence[str]) -> Mistake:
    """A first word that is no command: the nearest one, or a diagnosis where it looks like a namespace's name."""
    asked = words[0].lower()
    if asked in _CHANGES:
        return Mistake(sentence=_NO_CHANGE, nearest="plans")
    sentence = f"There is no command {bounded(words[0], 60)!r}."
    near = _OTHER_WORDS.get(asked) or next(iter(difflib.get_close_matches(asked, _SUGGESTED, n=1, cutoff=0.6)), "")
    if near:
        meant = _VERBS[near].read(words[1:])
        return Mistake(sentence=sentence, nearest=_VERBS[near].usage if isinstance(meant, Mistake) else spelled(meant))
    if len(words) == 1 and is_namespace(asked):
        return Mistake(sentence=sentence, nearest=f"diagnose {asked}")
    return Mistake(sentence=sentence, nearest="help")
