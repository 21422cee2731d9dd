"""Real messages of kubelets, containerd and CNI plugins, as people have posted them, and what they mean."""

from pathlib import Path

import pytest
import yaml

from bot.probes.pod_sandbox.messages import MAX_REASON, classify, understand
from bot.probes.pod_sandbox.patterns import SANDBOX_ERRORS

_FAILED = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            (
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network "
                "plugin returns error: cni plugin not initialized"
            ),
            "cni-not-initialised",
        ),
        (
            (
                "network is not ready: container runtime network not ready: NetworkReady=false "
                "reason:NetworkPluginNotReady message:docker: network plugin is not ready: cni config uninitialized"
            ),
            "cni-not-initialised",
        ),
        (
            (
                f'{_FAILED} "ab12": plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or '
                "directory: check that the calico/node container is running and has mounted /var/lib/calico/"
            ),
            "nodename-missing",
        ),
        (
            (
                f'{_FAILED} "eda8": plugin type="cilium-cni" failed (add): unable to connect to Cilium agent: '
                "failed to "
                'create cilium agent client after 30.000000 seconds timeout: Get "http://localhost/v1/config": '
                "dial unix "
                "/var/run/cilium/cilium.sock: connect: no such file or directory"
            ),
            "agent-unreachable",
        ),
        (f'{_FAILED} "1": failed to find plugin "flannel" in path [/opt/cni/bin]', "plugin-missing"),
        (
            (
                f'{_FAILED} "7fec": plugin type="flannel" failed (add): failed to delegate add: failed to allocate for '
                "range 0: no IP addresses available in range set: 10.42.0.1-10.42.0.254"
            ),
            "ipam-exhausted",
        ),
        (
            (
                f'{_FAILED} "1": plugin type="calico" failed (add): failed to request IPv4 addresses: Assigned '
                "0 out of 1 "
                "requested IPv4 addresses; No IPs available in pools: [10.99.9.0/29]"
            ),
            "ipam-exhausted",
        ),
        (
            (
                f'{_FAILED} "1": plugin type="cilium-cni" failed (add): unable to allocate IP via local cilium agent: '
                '[POST /ipam][502] postIpamFailure "all CIDR ranges are exhausted"'
            ),
            "ipam-exhausted",
        ),
        (
            (
                f'{_FAILED} "1": plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP '
                "address to container"
            ),
            "ipam-exhausted",
        ),
        (f'{_FAILED} "1": plugin type="calico" failed (add): no configured Calico pools for node host1', "no-pool"),
        (
            (
                'NetworkPlugin cni failed to set up pod "busybox2_default" network: the given pool '
                "(2001:19f0::/64) does "
                "not exist, or is not enabled"
            ),
            "no-pool",
        ),
        (
            (
                f'{_FAILED} "1": plugin type="calico" failed (add): error getting ClusterInformation: Get '
                '"https://10.96.0.1:443/apis/crd.projectcalico.org/v1/clusterinformations/default": dial tcp '
                "10.96.0.1:443: i/o timeout"
            ),
            "api-timeout",
        ),
        (
            (
                f'{_FAILED} "1": plugin type="multus" failed (add): Multus: [ns/pod]: error getting pod: Get '
                '"https://10.43.0.1:443/api/v1/namespaces/ns/pods/pod": dial tcp 10.43.0.1:443: connect: no '
                "route to host"
            ),
            "api-timeout",
        ),
        (
            (
                f'{_FAILED} "b638": plugin type="calico" failed (add): error getting ClusterInformation: connection is '
                "unauthorized: Unauthorized"
            ),
            "unauthorized",
        ),
        (f'{_FAILED} "20d3": plugin type="calico" failed (add): Unauthorized', "unauthorized"),
        (
            (
                f'{_FAILED} "1c52": plugin type="flannel" failed (add): loadFlannelSubnetEnv failed: open '
                "/run/flannel/subnet.env: no such file or directory"
            ),
            "subnet-env-missing",
        ),
        (
            (
                f'{_FAILED} "0fcb": plugin type="flannel" failed (add): failed to delegate add: failed to set '
                "bridge addr: "
                '"cni0" already has an IP address different from 10.244.0.1/24'
            ),
            "bridge-address-conflict",
        ),
        ('failed to acquire lease: node "k8s-2" pod cidr not assigned', "pod-cidr-missing"),
        (f'{_FAILED} "1": plugin type="ptp" failed (add): something new', "other"),
        ("", "other"),
    ],
)
def test_classes(message: str, expected: str):
    assert expected in SANDBOX_ERRORS
    assert classify(message) == expected


_TASK = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox "1f5d": failed to create '
    "containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"{_TASK}unable to start container process: can't get final child's PID from pipe: EOF", "runtime"),
        (
            (
                f"{_TASK}unable to start container process: can't get final child's PID from pipe: EOF; runc init "
                "error(s): nsexec[6975]: failed to update /proc/self/oom_score_adj: Permission denied"
            ),
            "runtime",
        ),
        (
            (
                f"{_TASK}unable to start container process: error during container init: unable "
                "to init seccomp: seccomp: "
                "config provided but seccomp not supported"
            ),
            "runtime",
        ),
        (f'{_TASK}unable to start container process: exec: "/pause": permission denied', "runtime"),
        (f"{_TASK}container_linux.go:380: starting container process caused: exec format error", "runtime"),
        (f"{_TASK}write /sys/fs/cgroup/pids/kubepods/x/cgroup.procs: device or resource busy", "runtime"),
        (f"{_TASK}write /sys/fs/cgroup/memory/kubepods/x/cgroup.procs: no space left on device", "node-resources"),
        (f"{_TASK}error running hook #0: error running hook: signal: killed, stdout: , stderr: ", "runtime"),
        (
            (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create "
                'sandbox container "1f5d": '
                "context deadline exceeded"
            ),
            "runtime",
        ),
        (
            (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to reserve sandbox name "
                '"a_shop_1_0": name "a_shop_1_0" is reserved for "1f5d"'
            ),
            "runtime",
        ),
        (
            (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get "
                "sandbox runtime: no runtime for "
                '"kata" is configured'
            ),
            "runtime",
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = container create failed: crun: EOF",
            "runtime",
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unavailable desc = error reading from server: EOF",
            "runtime",
        ),
        (
            (
                "Failed to create pod sandbox: rpc error: code = Unavailable desc = connection error: desc = "
                '"transport: Error '
                'while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"'
            ),
            "runtime",
        ),
    ],
)
def test_a_runtimes_own_failure_is_no_plugins(message: str, expected: str):
    """However its words resemble those of a plugin that lost the API server."""
    assert classify(message) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ('plugin type="cilium-cni" failed (add): Put "http://localhost/v1/endpoint/0": EOF', "agent-unreachable"),
        (
            (
                'plugin type="aws-cni" name="aws-cni" failed (add): add cmd: Error received from '
                "AddNetwork gRPC call: rpc "
                "error: code = Unavailable desc = error reading from server: EOF"
            ),
            "agent-unreachable",
        ),
        (
            (
                'plugin type="multus-shim" name="multus" failed (add): CmdAdd (shim): failed to send CNI request: Post '
                '"http://dummy/cni": EOF: StdinData: {}'
            ),
            "agent-unreachable",
        ),
        (
            (
                'plugin type="calico" failed (add): error getting ClusterInformation: Get '
                '"https://10.96.0.1:443/apis": '
                "read tcp 10.0.0.7:41922->10.96.0.1:443: read: connection reset by peer"
            ),
            "api-cut",
        ),
    ],
)
def test_an_agent_of_the_node_is_not_the_api_server(reason: str, expected: str):
    assert classify(f'{_FAILED} "1": {reason}') == expected


def test_a_deadline_of_kubelet_says_nothing_about_who_was_slow():
    assert classify(
        "Failed to create pod sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    ) == ("other")


_CALICO = f'{_FAILED} "{"6f3c9a0c" * 8}": plugin type="calico" failed (add): error getting ClusterInformation: Get '
_URL = '"https://[10.96.0.1]:443/apis/crd.projectcalico.org/v1/clusterinformations/default": '
_POSTED = yaml.safe_load((Path(__file__).parent / "posted.yaml").read_text())


@pytest.mark.parametrize("posted", _POSTED, ids=lambda one: f"{one['error']}-{one['plugin']}")
def test_posted_texts(posted: dict[str, str]):
    """From public reports: the class, and the plugin that it is about, which need not be the cluster's CNI."""
    found = understand(posted["text"])

    assert (found.error, found.plugin) == (posted["error"], posted["plugin"])
    assert not found.reason.startswith(("Failed", "rpc error"))


def test_the_runtimes_words_are_taken_off_and_the_reason_kept():
    assert understand(f"(combined from similar events): {_CALICO}{_URL}unexpected EOF").reason == (
        'plugin type="calico" failed (add): error getting ClusterInformation: Get '
        '"https://[10.96.0.1]:443/apis/crd.projectcalico.org/v1/clusterinformations/default": unexpected EOF'
    )


def test_of_a_long_reason_the_end_is_kept():
    reason = understand(f'{_FAILED} "1": plugin type="x" failed (add): {"on and on " * 200}the reason').reason

    assert len(reason) == MAX_REASON
    assert reason.startswith("…")
    assert reason.endswith("on and on the reason")


def test_the_first_failure_counts_not_the_failed_clean_up():
    """Events quote the failed add first, then the failed clean-up, here of another kind."""
    message = (
        'Failed to create pod sandbox: rpc error: code = Unknown desc = [failed to set up sandbox container "1" '
        'network for pod "x": networkPlugin cni failed to set up pod "x_default" network: no IP addresses '
        "available in range "
        'set: 10.1.0.1-10.1.0.2, failed to clean up sandbox container "1": context deadline exceeded]'
    )

    assert classify(message) == "ipam-exhausted"


def test_a_hostile_message_costs_no_more_than_a_long_one():
    assert classify("dial tcp " * 1_000_000) == "other"
