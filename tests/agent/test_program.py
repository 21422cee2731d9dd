"""The agent as a program: one line in, one document out, whatever happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.__main__ import main
from bot.agent.collect import host_root_of
from bot.agent.report import NODE_KEY, REPORT_SCHEMA, Target, Task, TaskPod
from tests.agent.nodes import (
    Node,
    calico_node,
    decode,
    encode_task,
    one_test,
    pod_of,
    run_program,
    uid_of,
    why_no_namespaces,
)

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]

OUTSIDE = Target(purpose="outside", ip="198.51.100.10", name="outside")
SILENT = Target(purpose="dial", ip="10.42.0.60", name="nobody", port=80, protocol="tcp")


def test_a_task_on_stdin_gives_one_document_on_stdout_and_nothing_else():
    with calico_node([{}]) as node:
        done = run_program(node, node.task(OUTSIDE))

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        report = decode(done.stdout)
        assert (report.schema, report.node, report.missing, report.is_partial) == (REPORT_SCHEMA, "node-1", (), False)
        assert one_test(report, "node", purpose="outside").outcome == "ok"
        assert report.kernel == os.uname().release
        assert report.uptime_s
        assert report.conntrack
        assert report.conntrack.count is not None


def test_the_task_can_stand_in_a_file_and_the_report_be_indented(tmp_path: Path):
    with calico_node([{}]) as node:
        file = tmp_path / "task.json"
        file.write_text(encode_task(node.task(arp_tries=0)))
        done = run_program(node, "", "--task", str(file), "--pretty")

        assert done.returncode == 0
        assert done.stdout.startswith('{\n  "schema": ')
        assert decode(done.stdout).pods[0].is_found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the task is not JSON"),
        ("[]", "task: an object is expected, not list '[]'"),
        ('{"schema": "cnibot.agent-task/v9", "node": "n"}', "this agent understands cnibot.agent-task/v1"),
        ("{}", "task.node: missing"),
    ],
)
def test_a_malformed_task_is_exit_2_and_one_sentence(text: str, sentence: str):
    done = subprocess.run(
        [sys.executable, "-m", "bot.agent"], input=text + "\n", capture_output=True, text=True, check=False, timeout=20
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_main_in_this_process_refuses_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]):
    assert main(["--task", "/nonexistent/task.json"]) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_deadline_cuts_the_tests_and_names_them():
    with calico_node([{}]) as node:
        report = node.look(node.task(SILENT, OUTSIDE, patience_s=50, deadline_s=4.0))

        assert report.is_partial
        assert report.took_s < 25
        assert ("tests.deadline", "the deadline came first") in {(one.what, one.why) for one in report.missing}
        silent = one_test(report, node.pods[0].uid, ip=SILENT.ip)
        assert (silent.outcome, silent.detail) == ("skipped", "the deadline came first")
        assert one_test(report, node.pods[0].uid, purpose="outside").outcome == "ok"
        assert pod_of(report, node.pods[0]).is_found


def test_a_deadline_before_the_pods_still_gives_a_report():
    with calico_node([{} for _ in range(30)]) as node:
        report = node.look(node.task(deadline_s=0.1, patience_s=30))

        assert len(report.pods) == 30
        for pod in report.pods:
            assert pod.is_found or pod.why_not


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_early_with_what_is_there(number: signal.Signals):
    with calico_node([{}]) as node:
        task = encode_task(node.task(SILENT, patience_s=25, deadline_s=30))
        # The agent is watched from inside: when its connection to nobody is on the way, the signal is sent.
        with subprocess.Popen(
            [*node.namespaces.enter(node.number), sys.executable, "-m", "bot.agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            process.stdin.write(task)
            process.stdin.close()
            wait_for_syn(node)
            process.send_signal(number)
            assert process.stdout
            text = process.stdout.read()

        report = decode(text)
        assert process.returncode == 0
        assert report.is_partial
        assert f"stopped by {number.name}" in {one.why for one in report.missing}
        assert one_test(report, node.pods[0].uid, ip=SILENT.ip).outcome == "skipped"


def wait_for_syn(node: Node) -> None:
    """Returns when a connection attempt from the pod is on its way."""
    watch = "import sys\nwhile ' 02 ' not in open('/proc/net/tcp').read(): pass"
    node.namespaces.run(node.pods[0].number, sys.executable, "-c", watch)


def test_a_pod_that_is_not_there_is_named_and_nothing_else_suffers():
    with calico_node([{}]) as node:
        gone = TaskPod(uid=uid_of(99), namespace="shop", name="gone", ip="10.42.0.99", is_source=True)
        here = TaskPod(uid=uid_of(98), namespace="kube-system", name="proxy", ip=node.ip, is_source=True)
        nameless = TaskPod(uid=uid_of(97), namespace="shop", name="starting")
        task = node.task(OUTSIDE)
        report = node.look(replace(task, pods=(*task.pods, gone, here, nameless)))

        by_name = {pod.name: pod for pod in report.pods}
        assert not by_name["gone"].is_found
        assert by_name["gone"].why_not == "no process or namespace of this pod was found on the node"
        assert not by_name["starting"].is_found
        assert (by_name["proxy"].is_found, by_name["proxy"].is_host_network, by_name["proxy"].state) == (
            True,
            True,
            None,
        )
        assert by_name["pod-0"].is_found
        assert {test.source for test in report.tests} == {node.pods[0].uid, "node"}


def test_the_same_address_in_another_cluster_on_this_machine_is_not_taken_for_the_pod():
    with calico_node([{}]) as first, calico_node([{}]) as second:
        for node in (first, second):
            report = node.look(node.task(arp_tries=0))

            [pod] = report.pods
            pid = node.namespaces.pids[node.pods[0].number]
            assert pod.netns == Path(f"/proc/{pid}/ns/net").stat().st_ino


def test_unknown_fields_of_a_newer_bot_are_named_not_refused():
    with calico_node([{}]) as node:
        task = json.loads(encode_task(node.task(arp_tries=0))) | {"colour": "blue"}
        done = run_program(node, json.dumps(task) + "\n")

        report = decode(done.stdout)
        assert [(one.what, one.why) for one in report.missing] == [
            ("task.colour", "this agent does not know the field")
        ]


def test_files_of_the_node_are_read_below_its_root(tmp_path: Path):
    folder = tmp_path / "etc/cni/net.d"
    folder.mkdir(parents=True)
    (folder / "10-calico.conflist").write_text('{"plugins": [{"type": "calico", "ipam": {"type": "calico-ipam"}}]}')
    with calico_node([{}]) as node:
        done = run_program(node, node.task(arp_tries=0), "--host-root", str(tmp_path))

        report = decode(done.stdout)
        assert report.cni_files
        assert [(file.path, file.plugins) for file in report.cni_files] == [
            ("/etc/cni/net.d/10-calico.conflist", ("calico", "calico-ipam"))
        ]
        assert (report.cni_binaries, report.sysctl_files) == ((), ())


def test_the_nodes_root_is_what_was_given_else_that_of_process_1():
    assert host_root_of("/host") == "/host"
    assert host_root_of(None) in {"/proc/1/root", "/"}


def test_a_report_without_any_pod_or_target_is_a_report():
    with calico_node([{}]) as node:
        report = node.look(Task(node="node-1"))

        assert (report.pods, report.tests, report.missing) == ((), (), ())
        assert {link.name for link in report.root.links} >= {"lo", "eth0", "cali0"}


@pytest.mark.parametrize(("sources", "outcomes"), [((NODE_KEY,), ["ECONNREFUSED"]), ((), [])], ids=["for pods", "else"])
def test_a_node_dials_itself_only_for_pods_that_share_its_network(sources: tuple[str, ...], outcomes: list[str]):
    with calico_node([{}]) as node:
        itself = Target(purpose="dial", ip=node.ip, name="itself", port=81, protocol="tcp", sources=sources)
        report = node.look(node.task(itself, arp_tries=0))

        assert [one.outcome for one in report.tests if one.source == NODE_KEY and one.port == 81] == outcomes
        assert len([one for one in report.tests if one.source == node.pods[0].uid and one.port == 81]) == (not sources)
