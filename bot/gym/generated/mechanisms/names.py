"""DNS: what a pod asks, and whom."""

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Change, Step, Truth

_KEEP = "cp /etc/resolv.conf /tmp/resolv.gym"
_BACK = "cat /tmp/resolv.gym > /etc/resolv.conf; rm -f /tmp/resolv.gym"


def _edit(script: str) -> Step:
    do = f"cat /etc/resolv.conf > /tmp/resolv.gym; sed '{script}' /tmp/resolv.gym > /etc/resolv.conf"
    return Step(on="src-pod", do=do, undo=_BACK)


@mechanism("nameserver", "dns", weight=3)
def nameserver(draw: Draw) -> Draft:
    """The pod asks a nameserver that is not the cluster's, alone or first."""
    address = draw.one(["10.96.0.10", "10.43.0.11", "169.254.20.10", "192.0.2.53", "172.30.0.250"])
    cause = "node-local-dns-dead" if address.startswith("169.254.") else "dns-nameserver-mismatch"
    is_alone = draw.maybe()
    script = (
        f"s/^nameserver .*/nameserver {address}/"
        if is_alone
        else f"s/^nameserver \\(.*\\)/nameserver {address}\\nnameserver \\1/"
    )
    return Draft(
        place="source pod",
        says=f"resolv.conf names {address} {'alone' if is_alone else 'first'}",
        steps=(_edit(script),),
        truth=Truth(causes=(cause,), hops=("dns",), words=(address,), objects=("$SRC_POD",)),
    )


@mechanism("search-domain", "dns", weight=2)
def search_domain(draw: Draw) -> Draft:
    """The search domains are not what the cluster's DNS serves, or are gone."""
    zone = draw.one(["k8s.lan", "cluster.lan", "prod.internal", "cluser.local"])
    how, script = draw.one(
        [
            ("other", f"s/cluster\\.local/{zone}/g"),
            ("gone", "/^search/d"),
            ("another namespace", f"s/{draw.edge.namespace}\\.svc/default.svc/"),
        ]
    )
    words = {"other": (zone,), "gone": ("search",), "another namespace": ("default.svc",)}[how]
    return Draft(
        place="source pod",
        says=f"the search domains of the pod: {how}",
        steps=(_edit(script),),
        truth=Truth(
            hops=("dns", "pod"),
            words=words,
        ),
    )


@mechanism("dns-service", "dns", weight=1)
def dns_service(draw: Draw) -> Draft:
    """The DNS Service leads nowhere, or the DNS pods are gone."""
    how = draw.one(["target", "selector", "scaled"])
    if how == "scaled":
        changes = (
            Change(
                verb="patch",
                resource="deployments.apps",
                namespace="kube-system",
                name="coredns",
                body={"spec": {"replicas": 0}},
            ),
        )
        causes, words = ("dns-down", "service-no-ready-endpoints"), ("coredns has no replicas",)
    elif how == "selector":
        changes = (
            Change(
                verb="patch",
                resource="services",
                namespace="kube-system",
                name="kube-dns",
                body={"spec": {"selector": {"k8s-app": "core-dns"}}},
            ),
        )
        causes, words = ("service-selector-matches-nothing", "dns-down"), ("core-dns",)
    else:
        ports = [
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 5353},
        ]
        changes = (
            Change(
                verb="patch",
                resource="services",
                namespace="kube-system",
                name="kube-dns",
                body={"spec": {"ports": ports}},
            ),
        )
        causes, words = ("service-wrong-target-port",), ("5353",)
    return Draft(
        place="service rules",
        scope="cluster",
        direction="both",
        says=f"the DNS Service: {how}",
        changes=changes,
        truth=Truth(causes=causes, hops=("dns", "service"), words=words, objects=("kube-dns", "coredns")),
    )
