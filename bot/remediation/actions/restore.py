"""Put fields of the CNI's configuration back as an earlier recording has them: only fields that are safe to put back.

Source: https://docs.tigera.io/calico/latest/reference/resources/ippool (a pool's CIDR and block size do not change)
Source: https://docs.tigera.io/calico/latest/reference/resources/felixconfig
Source: https://github.com/tigera/operator api/v1/installation_types.go
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.listing import and_more
from bot.domain.plan import OperatorSettled, Replace, Step, Target, value_at
from bot.domain.redact import MASK
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.owners import owner_of

Kind = Literal["ConfigMap", "FelixConfiguration", "IPPool", "Installation"]
CALICO_GROUP = "crd.projectcalico.org"
TIGERA_GROUP = "operator.tigera.io"
Field = tuple[str, ...]
"""Of an object's data or spec."""
_FELIX = frozenset(
    {
        "chainInsertMode", "defaultEndpointToHostAction", "deviceRouteSourceAddress", "failsafeInboundHostPorts",
        "failsafeOutboundHostPorts", "interfaceExclude", "ipipMTU", "iptablesBackend", "iptablesRefreshInterval",
        "mtuIfacePattern", "natOutgoingAddress", "natPortRange", "removeExternalRoutes", "routeRefreshInterval",
        "vxlanMTU", "vxlanPort", "vxlanVNI", "wireguardMTU",
    }
)  # fmt: skip
_POOL = frozenset({"allowedUses", "disabled", "ipipMode", "natOutgoing", "nodeSelector", "vxlanMode"})
_POOL_FIXED = frozenset({("blockSize",), ("cidr",)})
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

_NETWORK = "calicoNetwork"
_INSTALLATION = frozenset(
    {
        *(
            (name,)
            for name in (
                "calicoKubeControllersDeployment", "calicoNodeDaemonSet", "componentResources",
                "controlPlaneNodeSelector", "controlPlaneReplicas", "controlPlaneTolerations", "csiNodeDriverDaemonSet",
                "imagePath", "imagePrefix", "imagePullPolicy", "imagePullSecrets", "logging", "nodeMetricsPort",
                "nodeUpdateStrategy", "registry", "typhaAffinity", "typhaDeployment", "typhaMetricsPort",
            )
        ),
        *(
            (_NETWORK, name)
            for name in (
                "containerIPForwarding", "hostPorts", "linuxPolicySetupTimeoutSeconds", "mtu",
                "nodeAddressAutodetectionV4", "nodeAddressAutodetectionV6", "sysctl",
            )
        ),
    }
)  # fmt: skip
"""How Calico's pods run and find their nodes. Not: pools, dataplane, encapsulation, BGP, CNI plugin, certificates."""
_OPERATOR_S = 600.0
"""How long the Tigera operator may take to bring all of Calico to its Installation."""

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
        group = TIGERA_GROUP if self.kind == "Installation" else CALICO_GROUP
        return api_path(f"{self.kind.lower()}s", group=group, version="v1", name=self.name)

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
    differing = set(differing_fields(present, wanted.content, nested=_nested(wanted)))
    if fixed := sorted(field[0] for field in differing & _POOL_FIXED if wanted.kind == "IPPool"):
        raise NotPlannedError(
            f"{', '.join(fixed)} of {main} is another one now: pods have addresses of the pool as it is.",
            "Make a new pool and move the pods.",
        )
    chosen = sorted(differing & allowed_fields(wanted))
    if masked := [dotted(field) for field in chosen if MASK in str(value_at(wanted.content, field))]:
        raise NotPlannedError(f"The recording does not hold all of {', '.join(masked)}: secrets were struck out.")
    others = sorted(dotted(field) for field in differing - set(chosen))
    if not chosen:
        left = f" What differs is not put back by a plan: {and_more(others, 5)}." if others else ""
        raise NotPlannedError(f"Nothing of {main} differs that could be put back.{left}")
    named = [dotted(field) for field in chosen]
    return Draft(
        action="restore",
        title=f"restore {', '.join(named)} of {main} as of {wanted.at}",
        risk="r3",
        main=main,
        former_mark=mark_on(obj),
        steps=tuple(_steps(main, wanted, chosen, present)),
        expected_s=30.0,
        disruption="The whole cluster's network follows this configuration.",
        affected=(str(main),),
        warnings=tuple(_warnings(wanted, named, others)),
    )


def dotted(field: Field) -> str:
    """A field for people."""
    return ".".join(field)


def _nested(wanted: Wanted) -> frozenset[str]:
    """Parts of it whose own fields are put back one by one."""
    return frozenset({_NETWORK}) if wanted.kind == "Installation" else frozenset()


def differing_fields(
    present: Mapping[str, Any], former: Mapping[str, Any], *, nested: frozenset[str] = frozenset({_NETWORK})
) -> Iterator[Field]:
    """The fields that are other now; of what is nested its own fields."""
    for key in {*present, *former}:
        old, new = former.get(key), present.get(key)
        if key in nested and isinstance(old or {}, Mapping) and isinstance(new or {}, Mapping):
            yield from ((key, *rest) for rest in differing_fields(new or {}, old or {}, nested=frozenset()))
        elif old != new:
            yield (key,)


def allowed_fields(wanted: Wanted) -> frozenset[Field]:
    """Those that a plan puts back."""
    match wanted.kind:
        case "ConfigMap":
            return frozenset((key,) for key in _MAPS.get(wanted.name, ()))
        case "FelixConfiguration":
            return frozenset((key,) for key in _FELIX)
        case "IPPool":
            return frozenset((key,) for key in _POOL)
        case "Installation":
            return _INSTALLATION


def _steps(main: Target, wanted: Wanted, chosen: Sequence[Field], present: Mapping[str, Any]) -> Iterator[Step]:
    """One for each field. What the operator makes of an Installation is waited for once, after the last."""
    for number, field in enumerate(chosen):
        do = Replace(
            target=main,
            field=(wanted.part, *field),
            before=value_at(present, field),
            after=value_at(wanted.content, field),
        )
        is_last = wanted.kind == "Installation" and number == len(chosen) - 1
        verify = (OperatorSettled(installation=main),) if is_last else ()
        within_s = _OPERATOR_S if is_last else 60.0
        yield Step(title=f"restore {dotted(field)} of {main}", do=do, verify=verify, within_s=within_s)


def _warnings(wanted: Wanted, chosen: list[str], left: list[str]) -> Iterator[str]:
    if wanted.kind == "ConfigMap":
        yield "Agents read it when they start: it takes effect when they are restarted."
    if wanted.kind == "Installation":
        yield "The Tigera operator carries it out: it may replace pods of calico-node, typha and kube-controllers."
    if {"ipipMode", "vxlanMode"} & set(chosen):
        yield "Changing the encapsulation drops traffic between nodes until all have changed."
    if left:
        yield f"Left as they are: {and_more(left, 8)}."
