"""BPF programs on cgroups: who hangs there, and which one refuses a connection, on the real kernel."""

import dataclasses
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.agent.cgroups import MOUNTS, OF_VERSION_2, read_cgroup_programs
from bot.probes.packet_trace.fate import Fate, fates
from tests.agent.evidence import evidence_of
from tests.agent.nodes import Node, calico_node, is_root, why_no_namespaces
from tests.agent.trace_lab import flow, follow, trace_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="cgroups are root's"),
]
SERVER = {"tcp": [7001], "udp": [7001]}


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    with calico_node([{}, SERVER]) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Generator[Path]:
    """A file system's root whose root cgroup is one of our own, so that nothing here concerns others' processes."""
    mount = next((Path("/", name) for name in MOUNTS if Path("/", name, OF_VERSION_2).exists()), None)
    if mount is None:
        pytest.skip("no cgroups of version 2 here")
    own = mount / f"cnibot-test-{os.getpid()}"
    try:
        own.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup").symlink_to(own)
    try:
        yield tmp_path
    finally:
        for folder in sorted((path for path in own.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        own.rmdir()


def of_the_root(root: Path) -> str:
    return str((root / "sys/fs/cgroup").resolve())


def fate_below(node: Node, root: Path, protocol: str) -> Fate:
    """Of a series that a process of that cgroup sends."""
    own = of_the_root(root)
    join = f"import os; open({own + '/cgroup.procs'!r}, 'w').write(str(os.getpid()))"
    one = flow(node.pods[0], node.pods[1].ip, protocol=protocol)
    traces = {name: trace_of(report) for name, report in follow([node], one, python=join).items()}
    evidence = evidence_of([node], traced=(one,), traces=traces)
    programs = read_cgroup_programs(str(root), [pod.uid for pod in node.pods])
    report = dataclasses.replace(evidence.reports["node-1"], cgroup_programs=programs)
    [found] = fates(dataclasses.replace(evidence, reports={"node-1": report}))
    return found


def test_a_program_that_refuses_connections_is_named(node: Node, root: Path) -> None:
    with node.namespaces.program(node.number, of_the_root(root), "cgroup-connect4", "0", "denier"):
        fate = fate_below(node, root, "tcp")

    assert (fate.lost, fate.last_seen) == (17, "")
    assert fate.culprit.startswith("BPF program denier id ")
    assert fate.culprit.endswith(" on cgroup / of node-1, connect4 (of unknown origin)")


def test_a_program_that_drops_what_leaves_is_named(node: Node, root: Path) -> None:
    with node.namespaces.program(node.number, of_the_root(root), "cgroup-egress", "0", "sd_fw_egress"):
        fate = fate_below(node, root, "udp")

    assert fate.lost == 17
    assert fate.culprit.endswith(" on cgroup / of node-1, egress (of systemd)")


def test_a_program_that_lets_all_pass_is_not_named(node: Node, root: Path) -> None:
    source, target = node.pods
    with node.namespaces.program(node.number, of_the_root(root), "cgroup-connect4", "1", "watcher"):
        node.namespaces.ip(source.number, f"route add prohibit {target.ip}/32")
        try:
            fate = fate_below(node, root, "udp")
        finally:
            node.namespaces.ip(source.number, f"route del prohibit {target.ip}/32")

    assert (fate.lost, fate.culprit) == (17, f"route prohibit {target.ip}/32 of shop/pod-0-on-1")


def test_programs_on_cgroups_of_pods_are_listed_with_their_pod(node: Node, root: Path) -> None:
    """Under both names that kubelet gives: its own and systemd's."""
    own = Path(of_the_root(root))
    first, second = node.pods
    plain = own / "kubepods/burstable" / f"pod{first.uid}"
    systemd = (
        own / "kubepods.slice/kubepods-burstable.slice" / f"kubepods-burstable-pod{second.uid.replace('-', '_')}.slice"
    )
    for folder in (plain, systemd):
        folder.mkdir(parents=True)
    with (
        node.namespaces.program(node.number, str(plain), "cgroup-connect4", "1", "first"),
        node.namespaces.program(node.number, str(systemd), "cgroup-egress", "1", "second"),
    ):
        found = read_cgroup_programs(str(root), [first.uid, second.uid])

    assert {(one.pod, one.place, one.name, one.cgroup) for one in found} == {
        (first.uid, "connect4", "first", f"/{plain.relative_to(own)}"),
        (second.uid, "egress", "second", f"/{systemd.relative_to(own)}"),
    }
