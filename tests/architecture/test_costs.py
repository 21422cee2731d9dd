"""What a new thing costs by docs/architecture.md: each row is paid on a copy of the tree, and the thing works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, copied

pytestmark = pytest.mark.slow

RECORDING = ROOT / "tests" / "recordings" / "bridge-small-backlog.json.gz"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return copied(tmp_path, "bot", "playbooks", "docs", "deploy", ".ci", "pyproject.toml", "requirements.lock")


def run(tree: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "CNIBOT_STATE_DIR": str(tree / ".state")}
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_probe_is_a_folder_and_two_lines(tree: Path) -> None:
    probes = tree / "bot" / "probes"
    mine = probes / "uptime"
    mine.mkdir()
    for source in (probes / "ebpf").glob("*.py"):  # the neighbour whose folder is copied
        (mine / source.name).write_text(
            re.sub(r"probes\.ebpf", "probes.uptime", source.read_text(encoding="utf-8")), encoding="utf-8"
        )
    (mine / "facts.py").write_text(
        "from bot.probes.engine.fact_spec import fact\n\n"
        'FACTS = (fact("node.is_young", "bool", "The node was started an hour ago at most.", look="uptime"),)\n',
        encoding="utf-8",
    )
    (mine / "observe.py").write_text(
        "from bot.domain import facts\n\n\n"
        "def observe(evidence, into):\n"
        "    for name, report in evidence.reports.items():\n"
        "        young = None if report.uptime_s is None else report.uptime_s < 3600\n"
        '        into.put(facts.node(name), "is_young", young, "nobody read it")\n',
        encoding="utf-8",
    )
    (mine / "findings.py").write_text(
        "from bot.domain.facts import SubjectKind\n"
        "from bot.domain.finding import Finding, Severity\n\n"
        'NAME = "uptime"\n\n\n'
        "def judge(table):\n"
        "    for node in table.subjects(SubjectKind.NODE):\n"
        '        young = table.of(node).get("is_young")\n'
        '        says = f"Node {node.name} is young: {young}."\n'
        "        yield Finding(probe=NAME, subject=node, severity=Severity.INFO, sentence=says)\n",
        encoding="utf-8",
    )
    edit(probes / "catalogue.py", "    traffic_control,\n", "    traffic_control,\n    uptime,\n")
    edit(probes / "catalogue.py", "    packet_trace.PROBE,\n", "    packet_trace.PROBE,\n    uptime.PROBE,\n")

    with (tree / "playbooks" / "namespace.yaml").open("a", encoding="utf-8") as file:
        file.write("  - look: Which nodes were started lately?\n    probe: uptime\n")

    assert "uptime" in run(tree, "-m", "bot", "probes", "list")
    assert "Node node-1 is young: " in run(tree, "-m", "bot", "replay", str(RECORDING), "--output", "json")


def test_a_cause_is_a_file(tree: Path) -> None:
    """Its fixture is asked for by tests/causes."""
    causes = tree / "playbooks" / "causes"
    text = (causes / "node-forwarding-off.yaml").read_text(encoding="utf-8")
    (causes / "mine.yaml").write_text(text.replace("id: node-forwarding-off", "id: mine"), encoding="utf-8")

    assert "mine " in run(tree, "-m", "bot", "causes", "list")
    report = run(tree, "-m", "bot", "replay", str(ROOT / "tests/recordings/bridge-ip-forward-0.json.gz"), "-o", "json")
    assert '"id":"mine"' in report.replace('": "', '":"')


def test_a_known_issue_is_a_file(tree: Path) -> None:
    issues = tree / "playbooks" / "known-issues"
    first = min(issues.glob("*.yaml"))
    text = first.read_text(encoding="utf-8")
    (issues / "mine.yaml").write_text(re.sub(r"^id: .*$", "id: mine", text, flags=re.MULTILINE), encoding="utf-8")

    assert "mine " in run(tree, "-m", "bot", "known-issues", "list")


def test_a_playbook_is_a_file(tree: Path) -> None:
    text = (tree / "playbooks" / "mlflow.yaml").read_text(encoding="utf-8")
    (tree / "playbooks" / "mine.yaml").write_text(
        re.sub(r"^name: .*$", "name: mine", text, flags=re.MULTILINE), encoding="utf-8"
    )

    assert "mine " in run(tree, "-m", "bot", "playbooks", "list")


def test_a_lab_fault_is_a_function(tree: Path) -> None:
    with (tree / "bot" / "lab" / "cluster" / "faults" / "services.py").open("a", encoding="utf-8") as file:
        file.write(
            '\n\n@fault("mine", "S2", scope="cluster", cause="service-no-ready-endpoints")\n'
            "async def mine(lab: Injection) -> None:\n"
            '    """Mine."""\n'
        )

    assert '"mine"' in run(tree, "-m", "bot", "lab", "faults", "--output", "json")


def test_a_generated_page_is_a_file(tree: Path) -> None:
    (tree / "docs" / "generators" / "mine.py").write_text(
        'def pages() -> dict[str, str]:\n    return {"docs/mine.md": "# Mine\\n"}\n', encoding="utf-8"
    )

    assert "wrote docs/mine.md" in run(tree, ".ci/docs.py", "write")
    assert (tree / "docs" / "mine.md").read_text(encoding="utf-8") == "# Mine\n"


def test_a_setting_is_a_field_with_its_meaning(tree: Path) -> None:
    edit(
        tree / "bot" / "settings.py",
        "    max_diagnoses: int",
        '    mine: str = "yours"\n    """What is mine."""\n    max_diagnoses: int',
    )

    assert "wrote docs/reference/settings.md" in run(tree, ".ci/docs.py", "write")
    settings = (tree / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert re.search(r"`CNIBOT_MINE`.*`yours`.*What is mine\.", settings)


def test_a_fault_of_slack_is_an_entry(tree: Path) -> None:
    with_tests(tree)
    edit(
        tree / "tests" / "chaos" / "faults" / "slack.py",
        '    _fault(name="nothing answers"',
        '    _fault(name="mine", inject=_knob("slow", seconds=9.0)),\n    _fault(name="nothing answers"',
    )
    code = "from tests.chaos.scenario import TO_MEET_ALL, drawn\n"
    code += "print(*{str(one.fault) for seed in range(TO_MEET_ALL) for one in drawn(seed).injections}, sep='\\n')"

    assert "slack: mine" in run(tree, "-c", code).splitlines(), "CI plays a seed that meets it"


def test_a_slack_command_is_a_type_its_grammar_a_handler_and_words(tree: Path) -> None:
    with_tests(tree)
    slack = tree / "bot" / "slack"
    commands = slack / "commands.py"
    edit(commands, "Command = (\n", 'class Mine:\n    """What is mine."""\n\n\nCommand = (\n    Mine |\n')
    edit(commands, "ListPlaybooks() | Help():", "ListPlaybooks() | Help() | Mine():")
    edit(commands, '    Help: "help",\n', '    Help: "help",\n    Mine: "mine",\n')
    edit(commands, '    "help": _Verb(', '    "mine": _Verb("mine", _alone(Mine())),\n    "help": _Verb(')
    (slack / "views" / "mine.py").write_text(
        "from bot.slack.views.parts import Part, message\n"
        "from bot.slack.views.text import said\n\n\n"
        "def mine():\n"
        '    return message("", [Part(items=(said("It is yours."),))])\n',
        encoding="utf-8",
    )
    edit(
        slack / "views" / "answers.py",
        '    "playbooks": (said(',
        '    "mine": (said("whose it is"), Action.READ),\n    "playbooks": (said(',
    )
    handlers = slack / "handlers" / "commands.py"
    edit(handlers, "    Mistake,\n    Note", "    Mine,\n    Mistake,\n    Note")
    edit(handlers, "from bot.slack.views import notices", "from bot.slack.views import mine, notices")
    edit(
        handlers,
        "        case Help():",
        '        case Mine():\n            await notice(services, caller, "mine", mine.mine())\n        case Help():',
    )
    (tree / "tests" / "slack" / "handlers" / "test_mine.py").write_text(
        "from tests.slack.handlers.conftest import HERE\n\n\n"
        "async def test_it_answers(rig):\n"
        '    await rig.alice.slash(HERE, "/cni", "mine")\n'
        '    await rig.shown_only_to("alice", "It is yours.")\n'
        '    await rig.alice.slash(HERE, "/cni", "help")\n'
        '    assert "whose it is" in await rig.shown_only_to("alice", "/cni mine")\n',
        encoding="utf-8",
    )

    options = ("-q", "-n", "0", "-p", "no:cacheprovider")
    assert "1 passed" in run(tree, "-m", "pytest", *options, "tests/slack/handlers/test_mine.py")


def with_tests(tree: Path) -> None:
    shutil.copytree(ROOT / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__", "recordings"))
