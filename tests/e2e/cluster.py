"""Any cluster, as its administrator sees it: the official client, and not the bot's own, which would test itself."""

import base64
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from kubernetes import client as _client  # none of it is annotated
from kubernetes import config as _config
from kubernetes import dynamic as _dynamic
from kubernetes import stream as _stream

Manifest: TypeAlias = Mapping[str, Any]

_kube: Any = _client
_dyn: Any = _dynamic

READY_S = 180.0
"""How long pods may take to start."""
PULLED_S = 600.0
"""How long nodes may take to pull the image, of hundreds of megabytes, from a registry that may be slow."""
GONE_S = 120.0
EXEC_S = 60


class Cluster:
    """What the suite does with a cluster. Errors: those of the official client."""

    def __init__(self, kubeconfig: str) -> None:
        self._configuration: Any = _kube.Configuration()
        loading: Any = _config
        loading.load_kube_config(config_file=kubeconfig or None, client_configuration=self._configuration)
        self._api: Any = _kube.ApiClient(self._configuration)
        self._core: Any = _kube.CoreV1Api(self._api)
        self._apps: Any = _kube.AppsV1Api(self._api)
        self._dynamic: Any = _dyn.DynamicClient(self._api)

    def apply(self, item: Manifest, *, is_dry_run: bool = False) -> bool:
        """Make the object or change it, or ask only whether the server would; whether it was not there before."""
        is_new = not self.has(item)
        self._resource(item).server_side_apply(
            body=dict(item),
            namespace=item["metadata"].get("namespace"),
            field_manager="cnibot-e2e",
            force_conflicts=True,
            **({"dry_run": "All"} if is_dry_run else {}),
        )
        return is_new

    def serves(self, item: Manifest) -> bool:
        """Whether the server knows objects of that kind: it may lack what others define."""
        with suppress(_dyn.exceptions.ResourceNotFoundError):
            self._resource(item)
            return True
        return False

    def has(self, item: Manifest) -> bool:
        """Whether there is an object of that kind and name."""
        with suppress(_dyn.exceptions.NotFoundError):
            self._resource(item).get(name=item["metadata"]["name"], namespace=item["metadata"].get("namespace"))
            return True
        return False

    def delete(self, item: Manifest) -> None:
        """Delete the object, and wait until it is gone."""
        with suppress(_dyn.exceptions.NotFoundError):
            self._resource(item).delete(
                name=item["metadata"]["name"],
                namespace=item["metadata"].get("namespace"),
                body={"propagationPolicy": "Foreground"},
            )
        what = f"{item['kind']} {item['metadata']['name']} to be gone"
        wait_for(what, lambda: not self.has(item), within_s=GONE_S)

    @contextmanager
    def applied(self, *items: Manifest) -> Generator[None]:
        """These objects while the block runs; what was there before stays."""
        made: list[Manifest] = []
        try:
            made.extend(item for item in items if self.apply(item))
            yield
        finally:
            for item in reversed(made):
                self.delete(item)

    def pods(self, namespace: str, app: str) -> list[Any]:
        """The pods of a workload that are not going away."""
        listed = self._core.list_namespaced_pod(namespace, label_selector=f"app={app}").items
        return [pod for pod in listed if pod.metadata.deletion_timestamp is None]

    def ready(self, namespace: str, app: str, count: int) -> list[Any]:
        """The pods of a workload when exactly that many are there and ready. Else `AssertionError` says why not."""

        def complaint() -> str:
            return "; ".join(_state(pod) for pod in self.pods(namespace, app)) or "there is no pod"

        def are_ready() -> bool:
            found = self.pods(namespace, app)
            return len(found) == count and all(_is_ready(pod) for pod in found)

        wait_for(f"{count} ready pods of {app}", are_ready, within_s=READY_S, complaint=complaint)
        return self.pods(namespace, app)

    def everywhere(self, item: Manifest) -> None:
        """Wait until a DaemonSet's pods are ready on every node that takes them. Else `AssertionError` says why not."""
        name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]

        def complaint() -> str:
            return "; ".join(_state(pod) for pod in self.pods(namespace, name) if not _is_ready(pod)) or "no pod"

        def are_ready() -> bool:
            status = self._apps.read_namespaced_daemon_set_status(name, namespace).status
            wanted = status.desired_number_scheduled
            return bool(status.observed_generation and wanted) and status.number_ready == wanted

        wait_for(f"{name} on every node", are_ready, within_s=PULLED_S, complaint=complaint)

    def service_ip(self, namespace: str, name: str) -> str:
        """A Service's ClusterIP."""
        return self._core.read_namespaced_service(name, namespace).spec.cluster_ip

    def run(self, namespace: str, pod: str, *command: str) -> str:
        """What a command in a pod prints, errors included."""
        running: Any = _stream
        socket = running.stream(
            self._core.connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(command),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        try:
            socket.run_forever(timeout=EXEC_S)
            return socket.read_all()
        finally:
            socket.sock.shutdown()  # its own `close` leaves the socket open when the server was first

    def log(self, namespace: str, pod: str) -> str:
        """A pod's log, "" while it has none."""
        with suppress(_kube.ApiException):
            return self._core.read_namespaced_pod_log(pod, namespace)
        return ""

    def phase(self, namespace: str, pod: str) -> str:
        """A pod's phase, with the reason where it has one."""
        status = self._core.read_namespaced_pod_status(pod, namespace).status
        return f"{status.phase} {status.reason or ''}".strip()

    def version(self) -> str:
        """The server's version."""
        return _kube.VersionApi(self._api).get_code().git_version

    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self._core.list_node().items)

    def kubeconfig_of(self, namespace: str, account: str) -> str:
        """A kubeconfig with nothing but the rights of that ServiceAccount, for an hour."""
        wish = {"spec": {"expirationSeconds": 3600}}
        token = self._core.create_namespaced_service_account_token(account, namespace, wish).status.token
        server: dict[str, Any] = {"server": self._configuration.host}
        if self._configuration.ssl_ca_cert:
            authority = Path(self._configuration.ssl_ca_cert).read_bytes()
            server["certificate-authority-data"] = base64.b64encode(authority).decode()
        if not self._configuration.verify_ssl:
            server["insecure-skip-tls-verify"] = True
        if self._configuration.tls_server_name:
            server["tls-server-name"] = self._configuration.tls_server_name
        if self._configuration.proxy:
            server["proxy-url"] = self._configuration.proxy
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "e2e", "cluster": server}],
                "users": [{"name": account, "user": {"token": token}}],
                "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": account}}],
                "current-context": "e2e",
            }
        )

    def _resource(self, item: Manifest) -> Any:
        return self._dynamic.resources.get(api_version=item["apiVersion"], kind=item["kind"])


def wait_for(
    what: str, is_so: Callable[[], bool], *, within_s: float, complaint: Callable[[], str] = lambda: ""
) -> None:
    """Ask again until it is so. `AssertionError` when it is not in time."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"waited {within_s:g} s for {what}: {complaint()}".rstrip(": ")
        time.sleep(0.5)


def _is_ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())


def _state(pod: Any) -> str:
    """Why a pod is not ready, as the scheduler and its containers say it."""
    said = [each for each in pod.status.conditions or () if (each.type, each.status) == ("PodScheduled", "False")]
    for each in pod.status.container_statuses or ():
        said += filter(None, (each.state.waiting, each.state.terminated, each.last_state.terminated))
    why = ", ".join(f"{each.reason}: {each.message or ''}".rstrip(": ") for each in said)
    return f"{pod.metadata.name} is {pod.status.phase}" + (f" ({why})" if why else "")
