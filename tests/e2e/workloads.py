"""What the suite puts into a cluster: two workloads that talk over one Service, in a namespace of their own."""

from typing import Any

NAMESPACE = "cnibot-e2e"
PRIVILEGED = "cnibot-e2e-privileged"
PORT = 8080
NOBODY_LISTENS = 8099

_OURS = {"app.kubernetes.io/part-of": "cnibot-e2e"}

_IDLE = ["sh", "-c", "sleep 3600", f"http://server.{NAMESPACE}.svc:80"]
"""Sleeps, and names the Service as what it dials: by that the diagnosis knows who needs it."""

_SERVE = f"""\
if command -v python3 >/dev/null; then exec python3 -m http.server {PORT} --directory /tmp
elif command -v httpd >/dev/null; then exec httpd -f -p {PORT} -h /tmp
elif command -v busybox >/dev/null; then exec busybox httpd -f -p {PORT} -h /tmp
fi
echo 'This image has neither python3 nor httpd, so nothing can listen here.'
exit 1
"""

PEER = """\
if command -v ip >/dev/null; then ip -o link show eth0 | sed 's/^[^@]*@if\\([0-9]*\\):.*/\\1/'
else cat /sys/class/net/eth0/iflink; fi
"""
"""The number of the node's end of a pod's link."""

DIAL = """\
if command -v python3 >/dev/null
then exec python3 -c "import socket, sys; socket.create_connection(sys.argv[1:], 2)" "$@" 2>/dev/null
else exec nc -z -w 2 "$@"
fi
"""
"""Exit code 0 when `sh -c DIAL sh ADDRESS PORT` got a connection."""


RESOLVE_OUTSIDE = """\
if command -v python3 >/dev/null
then exec python3 -c "import socket; socket.getaddrinfo('example.com', 80)" 2>/dev/null
else exec nslookup example.com >/dev/null 2>&1
fi
"""
"""Exit code 0 where a pod finds an outside name."""


def namespace(name: str, level: str) -> dict[str, Any]:
    """A namespace of ours, under a Pod Security level."""
    labels = {**_OURS, "pod-security.kubernetes.io/enforce": level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def server(image: str, replicas: int = 2) -> dict[str, Any]:
    """A Deployment that listens."""
    probe = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    container = {"ports": [{"name": "http", "containerPort": PORT}], "readinessProbe": probe}
    return _deployment("server", image, ["sh", "-c", _SERVE], replicas, container)


def client(image: str) -> dict[str, Any]:
    """A Deployment that only looks on: the diagnosis dials from its pods."""
    return _deployment("client", image, _IDLE, 2, {})


def puller(image: str) -> dict[str, Any]:
    """A DaemonSet that has the image pulled on every node; it sleeps in the node's network, which every node has."""
    item = _deployment("puller", image, _IDLE, 1, {})
    del item["spec"]["replicas"], item["spec"]["template"]["spec"]["topologySpreadConstraints"]
    item["kind"] = "DaemonSet"
    item["metadata"]["namespace"] = PRIVILEGED
    item["spec"]["template"]["spec"] |= {"hostNetwork": True, "tolerations": [{"operator": "Exists"}]}
    return item


def resolver(image: str) -> dict[str, Any]:
    """A Deployment that needs a name of the cluster, and whose DNS policy means its node's resolver."""
    item = _deployment("resolver", image, _IDLE, 1, {})
    item["metadata"]["namespace"] = PRIVILEGED
    item["spec"]["template"]["spec"] |= {"hostNetwork": True, "dnsPolicy": "ClusterFirst"}
    return item


def lost(image: str) -> dict[str, Any]:
    """A Deployment that needs a name of the cluster, and asks its node's resolver by dnsPolicy Default."""
    item = _deployment("lost", image, _IDLE, 1, {})
    item["spec"]["template"]["spec"]["dnsPolicy"] = "Default"
    return item


def service(target_port: int = PORT) -> dict[str, Any]:
    """The Service before the servers."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata("server"),
        "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": 80, "targetPort": target_port}]},
    }


def deny_all() -> dict[str, Any]:
    """A NetworkPolicy that lets nobody in."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata("deny-server"),
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]},
    }


def node_fault(name: str, image: str, node: str, *, apply: str, undo: str, lives_s: int) -> dict[str, Any]:
    """A pod that breaks its node as long as it is there: its end, by whatever hand, is the undoing."""
    script = f"undo() {{\nset +e\n{undo}\necho undone\n}}\ntrap undo EXIT\ntrap 'exit 0' TERM INT\n"
    script += f"set -e\n{apply}\necho applied\nsleep {lives_s} & wait\n"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": PRIVILEGED, "labels": _OURS},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "hostPID": True,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lives_s,
            "terminationGracePeriodSeconds": 20,
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "fault",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", script],
                    "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0},
                }
            ],
        },
    }


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": _OURS}


def _deployment(name: str, image: str, command: list[str], replicas: int, container: dict[str, Any]) -> dict[str, Any]:
    """Pods that the Pod Security level "restricted" admits, spread over the nodes."""
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    labels = {"app": name}
    rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": labels}}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "securityContext": rights,
                **container,
            }
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": {**labels, **_OURS}}, "spec": pod},
        },
    }
