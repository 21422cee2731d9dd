"""What a kubelet puts around a container: environment variables, ``/etc/hosts``, ``/etc/resolv.conf``, volumes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bot.lab.cluster.names import API_SERVICE_IP, CLUSTER_DOMAIN, DNS_SERVICE_IP, OUTSIDE_HOST, Json

NODE_RESOLV_CONF = f"nameserver {OUTSIDE_HOST}\n"
TOKEN_DIRECTORY = "/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@dataclass(slots=True, kw_only=True)
class Layout:
    """Files below the pod's directory, and what is bound where."""

    files: dict[str, str] = field(default_factory=dict[str, str])
    mounts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    missing: list[str] = field(default_factory=list[str])
    """ConfigMaps and Secrets that do not exist, in the kubelet's words."""


def resolv_conf(pod: Json) -> str:
    """The resolver configuration by ``dnsPolicy``."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "Default" or (policy == "ClusterFirst" and spec.get("hostNetwork")):
        return NODE_RESOLV_CONF
    if policy == "None":
        config: Json = spec.get("dnsConfig") or {}
        return "".join(f"nameserver {server}\n" for server in config.get("nameservers", ()))
    namespace = pod["metadata"]["namespace"]
    search = f"{namespace}.svc.{CLUSTER_DOMAIN} svc.{CLUSTER_DOMAIN} {CLUSTER_DOMAIN}"
    return f"search {search}\nnameserver {DNS_SERVICE_IP}\noptions ndots:5\n"


def hosts(pod: Json, ip: str) -> str:
    """The managed ``/etc/hosts``."""
    if pod["spec"].get("hostNetwork"):
        return "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tlocalhost\n"
    head = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    return head + (f"{ip}\t{hostname(pod)}\n" if ip else "")


def hostname(pod: Json) -> str:
    """The pod's host name, cut as the kubelet cuts it."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def layout(pod: Json, configuration: Mapping[tuple[str, str], Json], token: Mapping[str, str]) -> Layout:
    """All of the pod's files and mounts. ``configuration`` holds ConfigMaps and Secrets by (kind, name)."""
    made = Layout(files={"etc-hosts": hosts(pod, ""), "resolv.conf": resolv_conf(pod)})
    made.mounts += [("etc-hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")]
    if pod["spec"].get("automountServiceAccountToken", True):
        directory = "volumes/kubernetes.io~projected/kube-api-access"
        made.files |= {f"{directory}/{name}": content for name, content in token.items()}
        made.mounts.append((directory, TOKEN_DIRECTORY))
    sources = {volume["name"]: _volume(volume, configuration, made) for volume in pod["spec"].get("volumes", ())}
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        for mount in container.get("volumeMounts", ()):
            target = mount["mountPath"].removeprefix("/var") if _is_run(mount["mountPath"]) else mount["mountPath"]
            pair = (sources.get(mount["name"], ""), target)
            if pair[0] and target != TOKEN_DIRECTORY and pair not in made.mounts:
                made.mounts.append(pair)
    made.mounts.sort(key=lambda pair: pair[1].count("/"))  # as runtimes do: a mount may lie in another one
    return made


def _is_run(path: str) -> bool:
    return path.startswith("/var/run/")


def _volume(volume: Json, configuration: Mapping[tuple[str, str], Json], made: Layout) -> str:
    """Where the volume's content lies: below the pod's directory, or absolute on the node; "" when nowhere."""
    name = volume["name"]
    if "hostPath" in volume:
        return str(volume["hostPath"]["path"])
    for key, kind, reference in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if key not in volume:
            continue
        wanted = volume[key][reference]
        found = configuration.get((kind, wanted))
        if found is None:
            if not volume[key].get("optional"):
                made.missing.append(f'{kind.lower()} "{wanted}" not found')
            return ""
        directory = f"volumes/kubernetes.io~{key.lower()}/{name}"
        made.files |= {f"{directory}/{file}": content for file, content in contents(found).items()}
        return directory
    return f"volumes/kubernetes.io~empty-dir/{name}" if "emptyDir" in volume else ""


def contents(found: Json) -> dict[str, str]:
    """A ConfigMap's or Secret's files."""
    plain: dict[str, str] = dict(found.get("data") or {})
    if found.get("kind") == "Secret":
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in plain.items()}
    return plain


def variables(
    pod: Json, container: Json, *, ip: str, host_ip: str, configuration: Mapping[tuple[str, str], Json]
) -> dict[str, str]:
    """The container's environment."""
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": hostname(pod),
        "KUBERNETES_SERVICE_HOST": API_SERVICE_IP,
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }
    for source in container.get("envFrom", ()):
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if key in source:
                env |= contents(configuration.get((kind, source[key]["name"]), {}))
    for entry in container.get("env", ()):
        value = entry["value"] if "value" in entry else _from(entry, pod, ip, host_ip, configuration)
        env[entry["name"]] = expand(value or "", env)
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced where NAME is known."""
    return _REFERENCE.sub(lambda match: env.get(match[1], match[0]), text)


def _from(entry: Json, pod: Json, ip: str, host_ip: str, configuration: Mapping[tuple[str, str], Json]) -> str:
    source: Json = entry.get("valueFrom") or {}
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        special = {"status.podIP": ip, "status.hostIP": host_ip}
        return special[path] if path in special else _field(pod, path)
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if key in source:
            return contents(configuration.get((kind, source[key]["name"]), {})).get(source[key]["key"], "")
    return ""


def _field(pod: Json, path: str) -> str:
    match = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if match:
        values: dict[str, str] = pod["metadata"].get(match[1]) or {}
        return values.get(match[2], "")
    value: object = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return str(value)  # pyright: ignore[reportUnknownArgumentType]


def references(pod: Json) -> Iterable[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the pod's volumes and variables name."""
    for volume in pod["spec"].get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        entries: list[Json] = [*container.get("envFrom", ())]
        entries += [one["valueFrom"] for one in container.get("env", ()) if one.get("valueFrom")]
        for entry in entries:
            for key, kind in (("config", "ConfigMap"), ("secret", "Secret")):
                for suffix in ("MapRef", "MapKeyRef", "Ref", "KeyRef"):
                    if key + suffix in entry:
                        yield kind, entry[key + suffix]["name"]
