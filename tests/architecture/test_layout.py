"""The tests mirror the layout: who knows where something lives in `bot/` knows where its tests are."""

from pathlib import Path

from tests.architecture.tree import ROOT, python_files

OF_THE_WHOLE = {
    "architecture": "the tree itself",
    "benchmarks": "what it costs",
    "chaos": "the bot on bad days",
    "contracts": "what others send us: API servers that fail, streams, text, secrets",
    "e2e": "a real cluster, when one is at hand",
    "monitoring": "deploy/monitoring",
    "properties": "what holds of every differential and of the rules' logic",
    "recordings": "recorded diagnoses, judged again",
    "stories": "from the request to the outcome",
}
"""Folders of tests that belong to no package, and what they are about."""
BY_THEIR_USERS = {
    "cluster/objects": "values, read by the snapshot's tests",
    "gym/generated/mechanisms": "each is broken and proven by tests/gym/test_generated_in_lab.py",
    "lab/cluster/apiserver/http": "asked over HTTP by tests/lab/cluster/apiserver",
    "lab/cluster/apiserver/store": "asked over HTTP by tests/lab/cluster/apiserver",
    "lab/cluster/apiserver/validate": "asked over HTTP by tests/lab/cluster/apiserver",
    "lab/cluster/node": "seen in running labs by tests/lab/cluster",
    "lab/cluster/supervisor": "seen in running labs by tests/lab/cluster",
    "lab/cluster/workloads": "seen in running labs by tests/lab/cluster",
    "probes/services": "shared by the probes of Services: tests/probes/test_cluster_ip.py and test_service_*.py",
    "remediation/actions": "each plan is made and carried out by tests/remediation",
    "remediation/cilium/checks": "each is met and missed by the plans of tests/remediation",
}
"""Packages without tests of their own name, and who tests them."""


def folders_of_tests(root: Path) -> set[str]:
    return {str(path.parent.relative_to(root)) for path in root.rglob("test_*.py")} - {"."}


def packages(root: Path) -> set[str]:
    return {str(path.parent.relative_to(root)) for path in root.rglob("__init__.py")} - {"."}


def strays(tests: Path, bot: Path) -> set[str]:
    """Folders of tests that stand for no package or module."""
    return {
        one
        for one in folders_of_tests(tests)
        if one.partition("/")[0] not in OF_THE_WHOLE and not (bot / one).is_dir() and not (bot / f"{one}.py").is_file()
    }


def untested(tests: Path, bot: Path) -> set[str]:
    """Packages with neither a folder of tests nor a `test_NAME….py` where their parent's tests are."""
    tested = folders_of_tests(tests)
    return {
        one
        for one in packages(bot)
        if one not in tested
        and not any(each.startswith(f"{one}/") for each in tested)
        and not list((tests / one).parent.glob(f"test_{Path(one).name}*.py"))
    }


def test_each_folder_of_tests_is_one_of_bot() -> None:
    assert python_files("tests")
    assert strays(ROOT / "tests", ROOT / "bot") == set()
    assert {one.partition("/")[0] for one in folders_of_tests(ROOT / "tests")} >= OF_THE_WHOLE.keys() - {"benchmarks"}


def test_each_package_has_its_tests_where_a_reader_looks() -> None:
    assert untested(ROOT / "tests", ROOT / "bot") == BY_THEIR_USERS.keys()


def test_what_it_sees(tmp_path: Path) -> None:
    bot, tests = tmp_path / "bot", tmp_path / "tests"
    for path in ("probes/dns", "probes/mtu", "slack"):
        (bot / path).mkdir(parents=True)
        (bot / path / "__init__.py").touch()
    for path in ("probes/test_dns.py", "slack/test_views.py", "chat/test_old.py"):
        (tests / path).parent.mkdir(parents=True, exist_ok=True)
        (tests / path).touch()

    assert strays(tests, bot) == {"chat"}
    assert untested(tests, bot) == {"probes/mtu"}
