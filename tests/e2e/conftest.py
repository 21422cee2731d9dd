"""The suite for any cluster (`make e2e`): what it is given, what it puts there and takes away, and its table.

It runs only when it is asked for: without E2E_KUBECONFIG none of its tests is collected.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from tests.architecture.manifests import MANIFESTS, documents
from tests.e2e import workloads
from tests.e2e.cluster import Cluster, Manifest, wait_for

KUBECONFIG = os.environ.get("E2E_KUBECONFIG", "")
IMAGE = os.environ.get("E2E_IMAGE") or DEFAULT_IMAGE
HAS_NODE_FAULTS = os.environ.get("E2E_NODE_FAULTS", "") not in {"", "0"}
INSTALLED = ("namespace.yaml", "service-account.yaml", "rbac.yaml", "exec/rbac.yaml")
"""What a diagnosis on every rung needs; the bot itself would want a Slack workspace."""
SETTLED_S = 30.0

collect_ignore_glob = [] if KUBECONFIG else ["test_*.py"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table at the end."""

    check: str
    expected: str
    said: str
    took_s: float


@dataclass(slots=True)
class Table:
    """What was expected and what was said, in order."""

    about: str = ""
    rows: list[Row] = field(default_factory=list[Row])

    def lines(self) -> list[str]:
        """The table as text."""
        cells = [("check", "expected", "cnibot said", "s")]
        cells += [(row.check, row.expected, row.said, f"{row.took_s:.1f}") for row in self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(3)]
        return [self.about, *("  ".join((*map(str.ljust, row[:3], widths), row[3].rjust(5))) for row in cells)]


_TABLE = Table()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _TABLE.rows:
        terminalreporter.section("what cnibot said")
        for line in _TABLE.lines():
            terminalreporter.write_line(line)


@dataclass(frozen=True, slots=True)
class Bot:
    """`cnibot diagnose` with nothing but the rights of the bot's ServiceAccount."""

    kubeconfig: Path
    table: Table

    def diagnose(
        self, check: str, expected: str, access: str = "agent", namespace: str = workloads.NAMESPACE
    ) -> dict[str, Any]:
        """The report about a namespace of the suite; a row of the table."""
        command = [sys.executable, "-m", "bot", "diagnose", namespace, "--kubeconfig", str(self.kubeconfig)]
        command += ["--access", access, "--output", "json", "--timeout", "90"]
        environment = {**os.environ, "CNIBOT_AGENT_IMAGE": IMAGE}
        begun = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, env=environment)
        took_s = time.monotonic() - begun
        if not done.stdout.startswith("{"):
            self.table.rows.append(Row(check=check, expected=expected, said=f"exit {done.returncode}", took_s=took_s))
            pytest.fail(f"no report (exit {done.returncode}): {done.stderr[-2000:]}", pytrace=False)
        report = json.loads(done.stdout)
        self.table.rows.append(Row(check=check, expected=expected, said=said(report), took_s=took_s))
        return report


def said(report: dict[str, Any]) -> str:
    """A verdict in a few words."""
    verdict = report["verdict"]
    cause = f" {verdict['cause']} ({verdict['confidence']})" if verdict["cause"] else ""
    seen = report["coverage"]
    pods = f"{seen['pods_observed']}/{seen['pods_total']} pods"
    return f"{verdict['status']}{cause}, {seen['access']}, {pods}"


def reached(cluster: Cluster, address: str, port: int = workloads.PORT) -> list[bool]:
    """Of each client pod, whether it gets a connection."""
    script = f"({workloads.DIAL}) && echo connected"
    command = ("sh", "-c", script, "sh", address, str(port))
    pods = cluster.pods(workloads.NAMESPACE, "client")
    return ["connected" in cluster.run(workloads.NAMESPACE, pod.metadata.name, *command) for pod in pods]


def settle(cluster: Cluster, *, is_served: bool) -> None:
    """Wait until the Service's rules are on the nodes, or what took it away: controllers and kube-proxy take seconds.

    Not longer: what then is so, is for the diagnosis to say.
    """
    address = cluster.service_ip(workloads.NAMESPACE, "server")
    with suppress(AssertionError):
        what = "the Service to answer" if is_served else "the Service not to answer"
        wait_for(what, lambda: set(reached(cluster, address, 80)) == {is_served}, within_s=SETTLED_S)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that E2E_KUBECONFIG names."""
    return Cluster(KUBECONFIG)


@pytest.fixture(scope="session")
def bot(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """cnibot with its objects in the cluster. What was installed before stays as it is; the rest goes at the end."""
    items: list[Manifest] = [item for name in INSTALLED for item in documents(MANIFESTS / name)]
    missing = [item for item in items if not cluster.has(item)]
    with cluster.applied(*missing):
        kubeconfig = tmp_path_factory.mktemp("e2e") / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(cluster.kubeconfig_of("cnibot", "cnibot"), encoding="utf-8")
        about = f"Kubernetes {cluster.version()}, {cluster.nodes()} nodes, image {IMAGE}; cnibot's objects "
        _TABLE.about = about + ("were made for this" if missing else "were there")
        yield Bot(kubeconfig, _TABLE)


@pytest.fixture(scope="session")
def image() -> str:
    """The image of all that the suite runs."""
    return IMAGE


@pytest.fixture(scope="session")
def pulled(cluster: Cluster, privileged: str, image: str) -> None:
    """The image is on every node: a diagnosis makes agents of it there, and does not wait for a registry."""
    item = workloads.puller(image)
    with cluster.applied(item):
        cluster.everywhere(item)


@pytest.fixture(scope="session")
def workload(cluster: Cluster, bot: Bot, pulled: None, image: str) -> Iterator[None]:
    """Two healthy workloads in a namespace of their own; what an interrupted run left behind goes first."""
    ours = workloads.namespace(workloads.NAMESPACE, "restricted")
    cluster.delete(ours)
    try:
        for item in (ours, workloads.service(), workloads.server(image), workloads.client(image)):
            cluster.apply(item)
        cluster.ready(workloads.NAMESPACE, "server", 2)
        cluster.ready(workloads.NAMESPACE, "client", 2)
        settle(cluster, is_served=True)
        yield
    finally:
        cluster.delete(ours)


@pytest.fixture(scope="session")
def has_outside(cluster: Cluster, workload: None) -> bool:
    """Whether pods find outside names. A cluster that is kept from them is no less whole, and cnibot says it."""
    pod = cluster.pods(workloads.NAMESPACE, "client")[0].metadata.name
    script = f"({workloads.RESOLVE_OUTSIDE}) && echo found"
    return "found" in cluster.run(workloads.NAMESPACE, pod, "sh", "-c", script)


@pytest.fixture(scope="session")
def privileged(cluster: Cluster) -> Iterator[str]:
    """A namespace that admits pods with their node's network. Its end ends the pods that break nodes, too."""
    ours = workloads.namespace(workloads.PRIVILEGED, "privileged")
    cluster.delete(ours)
    with cluster.applied(ours):
        yield workloads.PRIVILEGED


@pytest.fixture(scope="session")
def node_faults(privileged: str) -> str:
    """Where pods that break their nodes run, if that is wanted."""
    if not HAS_NODE_FAULTS:
        pytest.skip("asked for with NODE_FAULTS=1, on a cluster that may be broken")
    return privileged
