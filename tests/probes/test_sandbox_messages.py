"""Real messages of kubelets, containerd and CNI plugins, as people have posted them, and what they mean."""

import pytest

from bot.probes.sandbox_messages import SANDBOX_ERRORS, classify

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
            "cni-not-initialised",
        ),
        (
            (
                f'{_FAILED} "eda8": plugin type="cilium-cni" failed (add): unable to connect to Cilium agent: '
                "failed to "
                'create cilium agent client after 30.000000 seconds timeout: Get "http://localhost/v1/config": '
                "dial unix "
                "/var/run/cilium/cilium.sock: connect: no such file or directory"
            ),
            "cni-not-initialised",
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
