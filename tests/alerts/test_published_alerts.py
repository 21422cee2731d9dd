"""Every stock alert of the published rule sets, as its exporter labels it, leads to what is in trouble."""

import pytest

from bot.alerts.routing import route
from bot.domain.alert import AlertScope
from tests.alerts.labels import (
    KUBELET,
    NODE_EXPORTER,
    NODE_EXPORTER_P,
    PROMETHEUS,
    STATE_METRICS,
    STATE_METRICS_P,
    alert,
    scraped,
)

Case = tuple[str, dict[str, str], AlertScope]


def node(name: str) -> AlertScope:
    return AlertScope(kind="node", name=name)


def pod(namespace: str, name: str) -> AlertScope:
    return AlertScope(kind="pod", namespace=namespace, name=name)


def node_of(namespace: str, name: str) -> AlertScope:
    return AlertScope(kind="node-of-pod", namespace=namespace, name=name)


def workload(kind: str, namespace: str, name: str) -> AlertScope:
    return AlertScope(kind="workload", namespace=namespace, name=name, workload=kind)


def component(name: str) -> AlertScope:
    return AlertScope(kind="component", name=name)


def address(host: str) -> AlertScope:
    return AlertScope(kind="address", name=host)


EVERYTHING = AlertScope(kind="cluster")
CILIUM = "cilium-q7x2m"
EXPORTER = node_of("kube-prometheus-stack", NODE_EXPORTER["pod"])

KUBERNETES: list[Case] = [
    ("TargetDown", {"job": "cilium-agent", "namespace": "kube-system", **PROMETHEUS}, component("cni")),
    ("TargetDown", {"job": "kube-dns", "namespace": "kube-system", "service": "kube-dns"}, component("dns")),
    (
        "TargetDown",
        {"job": "checkout", "namespace": "shop", "service": "checkout"},
        AlertScope(kind="service", namespace="shop", name="checkout"),
    ),
    ("TargetDown", {"job": "shop/checkout", "namespace": "shop"}, AlertScope(kind="namespace", namespace="shop")),
    (
        "KubePodNotReady",
        {"namespace": "shop", "pod": "web-6d4cf56db6-4xk2p", "job": "kube-state-metrics"},
        pod("shop", "web-6d4cf56db6-4xk2p"),
    ),
    (
        "KubePodNotReady",
        {"namespace": "kube-system", "pod": "calico-node-x7k2p", "job": "kube-state-metrics"},
        node_of("kube-system", "calico-node-x7k2p"),
    ),
    (
        "KubePodNotReady",
        {"namespace": "mon", "pod": "kube-state-metrics-6d4cf56db6-4xk2p", "job": "kube-state-metrics"},
        pod("mon", "kube-state-metrics-6d4cf56db6-4xk2p"),
    ),
    (
        "KubePodCrashLooping",
        {
            **STATE_METRICS,
            "namespace": "shop",
            "pod": "web-0",
            "container": "web",
            "uid": "1-2",
            "reason": "CrashLoopBackOff",
        },
        pod("shop", "web-0"),
    ),
    (
        "KubeContainerWaiting",
        {**STATE_METRICS_P, "namespace": "shop", "pod": "web-0", "container": "web", "reason": "ContainerCreating"},
        pod("shop", "web-0"),
    ),
    (
        "KubeDeploymentReplicasMismatch",
        {**STATE_METRICS, "namespace": "shop", "deployment": "web"},
        workload("deployment", "shop", "web"),
    ),
    (
        "KubeDeploymentRolloutStuck",
        {**STATE_METRICS, "namespace": "kube-system", "deployment": "coredns"},
        component("dns"),
    ),
    (
        "KubeStatefulSetReplicasMismatch",
        {**STATE_METRICS_P, "namespace": "shop", "statefulset": "db"},
        workload("statefulset", "shop", "db"),
    ),
    (
        "KubeDaemonSetRolloutStuck",
        {**STATE_METRICS, "namespace": "kube-system", "daemonset": "calico-node"},
        component("cni"),
    ),
    (
        "KubeDaemonSetRolloutStuck",
        {**STATE_METRICS, "namespace": "kube-system", "daemonset": "kube-proxy"},
        component("kube-proxy"),
    ),
    (
        "KubeDaemonSetMisScheduled",
        {**STATE_METRICS, "namespace": "logs", "daemonset": "fluent-bit"},
        workload("daemonset", "logs", "fluent-bit"),
    ),
    (
        "KubeDaemonSetNotScheduled",
        {**STATE_METRICS, "namespace": "calico-system", "daemonset": "calico-node"},
        component("cni"),
    ),
    (
        "KubeJobFailed",
        {"namespace": "shop", "job_name": "nightly-28912345", "job": "kube-state-metrics"},
        workload("job", "shop", "nightly-28912345"),
    ),
    ("KubeNodeNotReady", {**STATE_METRICS, "node": "hive-04", "condition": "Ready", "status": "true"}, node("hive-04")),
    (
        "KubeNodeNotReady",
        {**STATE_METRICS_P, "node": "hive-04", "condition": "Ready", "status": "true"},
        node("hive-04"),
    ),
    (
        "KubeNodeUnreachable",
        {**STATE_METRICS, "node": "hive-04", "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
        node("hive-04"),
    ),
    ("KubeNodeReadinessFlapping", {"cluster": "prod", "node": "hive-04"}, node("hive-04")),
    ("KubeletPodStartUpLatencyHigh", {**KUBELET, "node": "hive-04", "instance": "192.168.1.24:10250"}, node("hive-04")),
    (
        "KubeletPlegDurationHigh",
        {"node": "hive-04", "instance": "192.168.1.24:10250", "quantile": "0.99"},
        node("hive-04"),
    ),
    ("KubeletInstanceUnreachable", {**KUBELET, "node": "hive-04", "instance": "192.168.1.24:10250"}, node("hive-04")),
    ("KubeletDown", {"cluster": "prod"}, EVERYTHING),
    ("KubeAPIDown", {"job": "apiserver"}, component("api-server")),
    ("KubeAPIDown", {}, component("api-server")),
    (
        "KubeAPIInstanceUnreachable",
        {
            "job": "apiserver",
            "instance": "192.168.1.10:6443",
            "namespace": "default",
            "service": "kubernetes",
            "endpoint": "https",
        },
        address("192.168.1.10"),
    ),
    (
        "KubeAggregatedAPIErrors",
        {"name": "v1beta1.metrics.k8s.io", "reason": "FailedDiscoveryCheck", "instance": "192.168.1.10:6443"},
        AlertScope(kind="api-service", name="v1beta1.metrics.k8s.io"),
    ),
    (
        "KubeAggregatedAPIDown",
        {"name": "v1beta1.custom.metrics.k8s.io", "namespace": "default"},
        AlertScope(kind="api-service", name="v1beta1.custom.metrics.k8s.io"),
    ),
    (
        "KubeClientErrors",
        {"instance": "192.168.1.10:6443", "job": "apiserver", "namespace": "default"},
        address("192.168.1.10"),
    ),
    ("KubeProxyDown", {"job": "kube-proxy"}, component("kube-proxy")),
    ("KubeProxyDown", {"cluster": "prod"}, component("kube-proxy")),
    (
        "KubeProxyInstanceUnreachable",
        {"pod": "kube-proxy-7q2xz", "namespace": "kube-system", "instance": "192.168.1.24:10249", "job": "kube-proxy"},
        node_of("kube-system", "kube-proxy-7q2xz"),
    ),
    ("NodeNetworkInterfaceFlapping", {**NODE_EXPORTER, "device": "cali1a2b3c"}, EXPORTER),
    ("NodeNetworkReceiveErrs", {**NODE_EXPORTER, "device": "eth0"}, EXPORTER),
    ("NodeNetworkTransmitErrs", {**NODE_EXPORTER_P, "device": "eth0"}, node_of("monitoring", "node-exporter-8zj5c")),
    ("NodeHighNumberConntrackEntriesUsed", NODE_EXPORTER, EXPORTER),
    ("NodeHighNumberConntrackEntriesUsed", {"instance": "node-2", "job": "node-exporter"}, address("node-2")),
    ("NodeBondingDegraded", {**NODE_EXPORTER, "master": "bond0"}, EXPORTER),
    (
        "NodeSystemdServiceFailed",
        {**NODE_EXPORTER, "name": "kubelet.service", "state": "failed", "type": "notify"},
        EXPORTER,
    ),
    ("NodeSystemdServiceCrashlooping", {**NODE_EXPORTER, "name": "k3s.service"}, EXPORTER),
    ("KubeAPIErrorBudgetBurn", {"cluster": "prod", "long": "1h", "short": "5m"}, EVERYTHING),
    ("KubeAPITerminatedRequests", {"cluster": "prod"}, EVERYTHING),
]

DNS: list[Case] = [
    ("CoreDNSDown", {"job": "kube-dns"}, component("dns")),
    (
        "CoreDNSLatencyHigh",
        {"namespace": "kube-system", "job": "kube-dns", "service": "kube-dns", "server": "dns://:53", "zone": "."},
        component("dns"),
    ),
    ("CoreDNSErrorsHigh", {"namespace": "kube-system", "job": "kube-dns", "service": "kube-dns"}, component("dns")),
    ("CoreDNSErrorsHigh", {"namespace": "openshift-dns"}, component("dns")),
    ("CoreDNSForwardLatencyHigh", {"job": "kube-dns", "to": "192.168.1.1:53"}, component("dns")),
    ("CoreDNSForwardErrorsHigh", {"job": "kube-dns", "to": "192.168.1.1:53"}, component("dns")),
    ("CoreDNSForwardHealthcheckFailureCount", {"job": "kube-dns", "to": "192.168.1.1:53"}, component("dns")),
    ("CoreDNSForwardHealthcheckBrokenCount", {"job": "kube-dns"}, component("dns")),
    ("CoreDNSPanicking", scraped("dns-default-x2x7p", "openshift-dns", "dns-default"), component("dns")),
    ("CoreDNSHealthCheckSlow", {"instance": "10.128.0.7:9154"}, component("dns")),
    ("CoreDNSDeploymentNotSatisfied", {"cluster_id": "golem", "installation": "golem"}, component("dns")),
    ("DNSErrorRateTooHigh", {"cluster_id": "golem"}, component("dns")),
]

CNI: list[Case] = [
    *[
        (name, {"pod": CILIUM, **more}, node_of("", CILIUM))
        for name, more in (
            ("CiliumAgentEndpointFailures", {}),
            ("CiliumAgentEndpointUpdateFailure", {}),
            ("CiliumAgentContainerNetworkInterfaceApiErrorEndpointCreate", {"api_call": "PUT"}),
            ("CiliumAgentApiEndpointErrors", {"api_call": "PUT"}),
            ("CiliumAgentMapOperationFailures", {"map_name": "lxc"}),
            ("CiliumAgentNatTableFull", {}),
            ("CiliumAgentApiHighErrorRate", {}),
            ("CiliumAgentConntrackTableFull", {}),
            ("CiliumAgentConnTrackFailedGarbageCollectorRuns", {}),
            ("CiliumAgentHighDeniedRate", {"reason": "Policy denied"}),
            ("CiliumAgentPolicyMapPressure", {}),
            ("CiliumNodeLocalHighIdentityAllocation", {}),
            ("CiliumUnreachableNodes", {}),
            ("CiliumAgentUnreachableNodes", {}),
            ("CiliumAgentUnreachableHealthEndpoints", {}),
            ("CiliumAgentFailingControllers", {}),
            ("CiliumAgentHighDropRate", {}),
            ("CiliumAgentPolicyImportErrors", {}),
            ("CiliumHubbleLostEvents", {}),
            ("CiliumHubbleHighDnsErrorRate", {}),
        )
    ],
    ("CiliumAgentBpfMapPressure", {**scraped(CILIUM, "kube-system", "cilium-agent"), "node": "hive-04",
                                   "k8s_app": "cilium", "map_name": "lxc"}, node("hive-04")),
    ("RunningOutOfCiliumClusterIdentities", {}, component("cni")),
    ("CiliumOperatorExhaustedIpamIps", {}, component("cni")),
    ("CiliumOperatorLowAvailableIpamIps", {}, component("cni")),
    ("CiliumOperatorEniIpamErrors", {}, component("cni")),
    ("CiliumAgentRemoteClusterNotReady", {"source_cluster": "eu", "target_cluster": "us"}, component("cni")),
    ("CiliumAgentRemoteClusterFailing", {"source_cluster": "eu", "target_cluster": "us"}, component("cni")),
    ("CiliumKvstoremeshRemoteClusterNotReady", {"source_cluster": "eu", "target_cluster": "us"}, component("cni")),
    ("KubernetesNodeNetworkUnavailable", {**STATE_METRICS, "node": "hive-04", "condition": "NetworkUnavailable"},
     node("hive-04")),
    ("KubernetesNodeNotReady", {**STATE_METRICS, "node": "hive-04", "condition": "Ready"}, node("hive-04")),
    ("KubernetesDaemonsetRolloutStuck", {**STATE_METRICS, "namespace": "kube-system", "daemonset": "cilium"},
     component("cni")),
    *[
        (name, {"namespace": "d8-cni-cilium", "pod": "agent-x2x7p", **more}, node_of("d8-cni-cilium", "agent-x2x7p"))
        for name, more in (
            ("CiliumAgentControllersRunsFailing", {}),
            ("CiliumAgentUnreachableNodes", {}),
            ("CiliumAgentUnreachableHealthEndpoints", {}),
            ("CiliumAgentEndpointsNotReady", {}),
            ("CiliumAgentMapPressureCritical", {"map_name": "lxc"}),
            ("CiliumAgentPolicyImportErrors", {}),
        )
    ],
    ("CiliumBPFMapAlmostFull", {"cluster_id": "golem"}, component("cni")),
    ("CiliumBPFMapFull", {"cluster_id": "golem"}, component("cni")),
    ("CiliumAPITooSlow", {"cluster_id": "golem", "node": "ip-10-0-1-7", "pod": CILIUM}, node("ip-10-0-1-7")),
    ("CiliumNetworkPolicyFailed", {"cluster_id": "golem"}, component("cni")),
    ("CiliumAgentPodPending", {"cluster_id": "golem"}, component("cni")),
    ("NetworkErrorRateTooHigh", {"cluster_id": "golem"}, EVERYTHING),
    ("NetworkCheckErrorRateTooHigh", {"cluster_id": "golem"}, EVERYTHING),
    ("SYNRetransmissionRateTooHigh", {"cluster_id": "golem"}, EVERYTHING),
    *[
        (name, scraped("calico-node-x2x7p", "calico-system", "calico-system/calico-node", 9091),
         node_of("calico-system", "calico-node-x2x7p"))
        for name in ("CalicoDataplaneFailuresHigh", "CalicoIpsetErrorsHigh", "CalicoIptableSaveErrorsHigh",
                     "CalicoIptableRestoreErrorsHigh", "CalicoErrorsWhileLoggingHigh")
    ],
    *[
        (name, scraped("calico-typha-6d4cf56db6-4xk2p", "calico-system", "calico-system/calico-typha", 9093),
         component("cni"))
        for name in ("TyphaPingLatency", "TyphaClientWriteLatency", "TyphaErrorsWhileLoggingHigh")
    ],
    *[
        (name, {"node": "cmp-3", "machine_name": "m-3"}, node("cmp-3"))
        for name in ("CalicoDataplaneFailuresHigh", "CalicoDataplaneAddressMsgBatchSizeHigh", "CalicoTargetDown",
                     "CalicoDataplaneIfaceMsgBatchSizeHigh", "CalicoIPsetErrorsHigh", "CalicoIptablesSaveErrorsHigh",
                     "CalicoIptablesRestoreErrorsHigh")
    ],
    ("NodeWithoutOVNKubeNodePodRunning", {"node": "worker-1"}, node("worker-1")),
    ("OVNKubernetesControllerDisconnectedSouthboundDatabase",
     scraped("ovnkube-node-x2x7p", "openshift-ovn-kubernetes", "ovnkube-node"),
     node_of("openshift-ovn-kubernetes", "ovnkube-node-x2x7p")),
    ("OVNKubernetesNodePodAddError", {"instance": "10.0.1.7:9103", "namespace": "openshift-ovn-kubernetes"},
     address("10.0.1.7")),
    ("OVNKubernetesNodePodDeleteError", {"instance": "10.0.1.7:9103", "namespace": "openshift-ovn-kubernetes"},
     address("10.0.1.7")),
    ("OVNKubernetesResourceRetryFailure", {}, component("cni")),
    ("OVNKubernetesNodeOVSOverflowUserspace", scraped("ovnkube-node-x2x7p", "openshift-ovn-kubernetes", "ovnkube-node"),
     node_of("openshift-ovn-kubernetes", "ovnkube-node-x2x7p")),
    ("OVNKubernetesNodeOVSOverflowKernel", scraped("ovnkube-node-x2x7p", "openshift-ovn-kubernetes", "ovnkube-node"),
     node_of("openshift-ovn-kubernetes", "ovnkube-node-x2x7p")),
    ("NorthboundStale", {"namespace": "openshift-ovn-kubernetes"}, component("cni")),
    ("SouthboundStale", {}, component("cni")),
    ("OVNKubernetesNorthdInactive",
     {"instance": "10.0.1.7:9103", "name": "ovnkube-node", "namespace": "openshift-ovn-kubernetes"},
     address("10.0.1.7")),
    ("NoRunningOvnControlPlane", {}, component("cni")),
    ("NoOvnClusterManagerLeader", {"namespace": "openshift-ovn-kubernetes"}, component("cni")),
    ("V4SubnetAllocationThresholdExceeded", {}, component("cni")),
    ("V6SubnetAllocationThresholdExceeded", {}, component("cni")),
    *[
        (name, scraped("metallb-speaker-x2x7p", "metallb-system", "metallb-speaker", 7472),
         node_of("metallb-system", "metallb-speaker-x2x7p"))
        for name in ("MetalLBStaleConfig", "MetalLBConfigNotLoaded", "MetalLBBGPSessionDown")
    ],
    *[
        (name, scraped("metallb-controller-6d4cf56db6-4xk2p", "metallb-system", "metallb-controller", 7472),
         pod("metallb-system", "metallb-controller-6d4cf56db6-4xk2p"))
        for name in ("MetalLBAddressPoolExhausted", "MetalLBAddressPoolUsage95Percent")
    ],
    ("goldpinger_nodes_unhealthy", {"instance": "10.42.3.7:8080", "goldpinger_instance": "hive-04"}, component("cni")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels", "scope"), [pytest.param(*case, id=case[0]) for case in (*KUBERNETES, *DNS, *CNI)]
)
def test_an_alert_leads_to_what_is_in_trouble(name: str, labels: dict[str, str], scope: AlertScope) -> None:
    found = route(alert(name, **labels))

    assert found.scope == scope, found.why


@pytest.mark.parametrize("name", ["calicoipseterrorshigh", "CALICOIPSETERRORSHIGH"])
def test_names_are_compared_without_regard_to_case(name: str) -> None:
    assert route(alert(name)).scope == component("cni")


@pytest.mark.parametrize(
    "labels", [{"alertname": "Watchdog", "severity": "none"}, {"alertname": "InfoInhibitor", "namespace": "shop"},
               {"alertname": "Anything", "severity": "none", "node": "n"}],
)  # fmt: skip
def test_alerts_that_ask_nothing_of_anybody_lead_nowhere(labels: dict[str, str]) -> None:
    found = route(alert(labels["alertname"], **labels))

    assert found.scope is None
    assert "needs no action" in found.why[0]
