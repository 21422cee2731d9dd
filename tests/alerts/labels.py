"""Labels of alerts as their exporters and Prometheus really set them.

S is kube-prometheus-stack, P kube-prometheus; what each sets is written in docs/alerts.md.
"""

from bot.domain.alert import Alert

PROMETHEUS = {"prometheus": "monitoring/k8s"}
STATE_METRICS = {
    "container": "kube-state-metrics",
    "endpoint": "http",
    "instance": "10.42.0.16:8080",
    "job": "kube-state-metrics",
    "namespace": "kube-prometheus-stack",
    "pod": "kube-prometheus-stack-kube-state-metrics-7f5c9c6bd8-x2x7p",
    "service": "kube-prometheus-stack-kube-state-metrics",
    **PROMETHEUS,
}
"""What S leaves on raw series of kube-state-metrics, where the metric does not set the label itself."""
STATE_METRICS_P = {
    "container": "kube-rbac-proxy-main",
    "instance": "10.42.0.16:8443",
    "job": "kube-state-metrics",
    **PROMETHEUS,
}
"""The same in P, which drops pod, service, endpoint and namespace first."""
NODE_EXPORTER = {
    "container": "node-exporter",
    "endpoint": "http-metrics",
    "instance": "192.168.1.21:9100",
    "job": "node-exporter",
    "namespace": "kube-prometheus-stack",
    "pod": "kube-prometheus-stack-prometheus-node-exporter-8zj5c",
    "service": "kube-prometheus-stack-prometheus-node-exporter",
    **PROMETHEUS,
}
NODE_EXPORTER_P = {**NODE_EXPORTER, "instance": "node-2", "namespace": "monitoring", "pod": "node-exporter-8zj5c"}
KUBELET = {"job": "kubelet", "metrics_path": "/metrics", "namespace": "kube-system", "service": "kubelet", **PROMETHEUS}


def alert(name: str, /, **labels: str) -> Alert:
    """A firing alert."""
    return Alert(fingerprint="0a1b", status="firing", labels={"severity": "warning", **labels, "alertname": name})


def scraped(pod: str, namespace: str, job: str, port: int = 9090) -> dict[str, str]:
    """What the Prometheus Operator sets on the series of a pod."""
    return {
        "container": job.rpartition("/")[2],
        "endpoint": "metrics",
        "instance": f"10.42.3.7:{port}",
        "job": job,
        "namespace": namespace,
        "pod": pod,
        **PROMETHEUS,
    }
