"""Put fields of the CNI's configuration back as an earlier recording has them: only fields that are safe to put back.

Source: https://docs.tigera.io/calico/latest/reference/resources/ippool (a pool's CIDR and block size do not change)
Source: https://docs.tigera.io/calico/latest/reference/resources/felixconfig
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.listing import and_more
from bot.domain.plan import Replace, Step, Target, value_at
from bot.domain.redact import MASK
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.owners import owner_of

Kind = Literal["ConfigMap", "FelixConfiguration", "IPPool"]
CALICO_GROUP = "crd.projectcalico.org"
_FELIX = frozenset(
    {
        "chainInsertMode", "defaultEndpointToHostAction", "deviceRouteSourceAddress", "failsafeInboundHostPorts",
        "failsafeOutboundHostPorts", "interfaceExclude", "ipipMTU", "iptablesBackend", "iptablesRefreshInterval",
        "mtuIfacePattern", "natOutgoingAddress", "natPortRange", "removeExternalRoutes", "routeRefreshInterval",
        "vxlanMTU", "vxlanPort", "vxlanVNI", "wireguardMTU",
    }
)  # fmt: skip
_POOL = frozenset({"allowedUses", "disabled", "ipipMode", "natOutgoing", "nodeSelector", "vxlanMode"})
_POOL_FIXED = frozenset({"blockSize", "cidr"})
_MAPS: Mapping[str, frozenset[str]] = {
    "calico-config": frozenset({"calico_backend", "cni_network_config", "typha_service_name", "veth_mtu"}),
    "cilium-config": frozenset(
        {
            "bpf-lb-sock", "cni-exclusive", "devices", "enable-bpf-masquerade", "enable-host-legacy-routing",
            "enable-policy", "kube-proxy-replacement", "mtu", "tunnel-port",
        }
    ),
    "coredns": frozenset({"Corefile"}),
    "kube-flannel-cfg": frozenset({"cni-conf.json", "net-conf.json"}),
    "kube-proxy": frozenset({"config.conf"}),
    "node-local-dns": frozenset({"Corefile"}),
}  # fmt: skip
"""By ConfigMap. What says which addresses or identities a cluster has is in none of them."""

RESTORABLE_MAPS = tuple(sorted(_MAPS))
"""The ConfigMaps that a plan may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An object as a recording has it."""

    kind: Kind
    name: str
    namespace: str = ""
    content: Mapping[str, Any]
    """Its `data` or `spec`."""
    at: str
    """When it was recorded."""

    @property
    def path(self) -> str:
        """Where it is in the API."""
        if self.kind == "ConfigMap":
            return api_path("configmaps", namespace=self.namespace, name=self.name)
        return api_path(f"{self.kind.lower()}s", group=CALICO_GROUP, version="v1", name=self.name)

    @property
    def part(self) -> str:
        """Which part of the object is put back."""
        return "data" if self.kind == "ConfigMap" else "spec"


def restore(obj: Object, wanted: Wanted) -> Draft:
    """The draft. Errors: `NotPlannedError`."""
    main = target_of(obj, wanted.kind, wanted.path)
    if owner := owner_of(obj):
        raise NotPlannedError(f"{main} belongs to {owner.name}, which would undo the change.", owner.how)
    present: Mapping[str, Any] = value_at(obj, (wanted.part,)) or {}
    differing = {key for key in {*present, *wanted.content} if present.get(key) != wanted.content.get(key)}
    if fixed := sorted(differing & _POOL_FIXED if wanted.kind == "IPPool" else set[str]()):
        raise NotPlannedError(
            f"{', '.join(fixed)} of {main} is another one now: pods have addresses of the pool as it is.",
            "Make a new pool and move the pods.",
        )
    chosen = sorted(differing & _allowed(wanted))
    if masked := [key for key in chosen if MASK in str(wanted.content.get(key))]:
        raise NotPlannedError(f"The recording does not hold all of {', '.join(masked)}: secrets were struck out.")
    if not chosen:
        left = f" What differs is not put back by a plan: {and_more(sorted(differing), 5)}." if differing else ""
        raise NotPlannedError(f"Nothing of {main} differs that could be put back.{left}")
    steps = tuple(_step(main, wanted, key, present) for key in chosen)
    return Draft(
        action="restore",
        title=f"restore {', '.join(chosen)} of {main} as of {wanted.at}",
        risk="r3",
        main=main,
        former_mark=mark_on(obj),
        steps=steps,
        expected_s=30.0,
        disruption="The whole cluster's network follows this configuration.",
        affected=(str(main),),
        warnings=tuple(_warnings(wanted, chosen, sorted(differing - set(chosen)))),
    )


def _allowed(wanted: Wanted) -> frozenset[str]:
    match wanted.kind:
        case "ConfigMap":
            return _MAPS.get(wanted.name, frozenset())
        case "FelixConfiguration":
            return _FELIX
        case "IPPool":
            return _POOL


def _step(main: Target, wanted: Wanted, key: str, present: Mapping[str, Any]) -> Step:
    do = Replace(target=main, field=(wanted.part, key), before=present.get(key), after=wanted.content.get(key))
    return Step(title=f"restore {key} of {main}", do=do)


def _warnings(wanted: Wanted, chosen: list[str], left: list[str]) -> Iterator[str]:
    if wanted.kind == "ConfigMap":
        yield "Agents read it when they start: it takes effect when they are restarted."
    if {"ipipMode", "vxlanMode"} & set(chosen):
        yield "Changing the encapsulation drops traffic between nodes until all have changed."
    if left:
        yield f"Left as they are: {and_more(left, 8)}."
