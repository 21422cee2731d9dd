"""What Cilium has come to on the nodes: from objects that its operator and the kubelets write, and from its agents.

That an agent is Ready proves nothing: with a tunnel's port that another device has, it is Ready and its tunnel is down.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, Writer, has_pod_address
from bot.domain.errors import BotError
from bot.domain.listing import and_more
from bot.domain.plan import CiliumOn, Target, value_at
from bot.remediation.cilium.values import AGENT, CONF_FILE, CONF_IN_AGENT, NAMESPACE
from bot.remediation.status import Holds, is_ready

CONTAINER, TUNNEL = "cilium-agent", "cilium_vxlan"
_CONFIGURATIONS = (".conf", ".conflist", ".json")
"""What container runtimes read as CNI configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswer:
    """What an agent of Cilium's was asked."""

    why: str = ""
    """Why it could not be asked, as the end of a sentence."""
    state: str = ""
    """Of its CNI configuration: "Ok", "Disabled", …"""
    files: tuple[str, ...] = ()
    """In the node's directory of CNI configuration."""
    is_tunnel_up: bool = False


class _Link(msgspec.Struct):
    """Of `ip -j link`, what counts here."""

    flags: tuple[str, ...] = ()


async def look_at_agent(writer: Writer, node: str) -> AgentAnswer:
    """What the agent on this node says and sees."""
    path = api_path("daemonsets", group="apps", namespace=NAMESPACE, name=AGENT)
    agents = Target(kind="DaemonSet", path=path, name=AGENT, namespace=NAMESPACE, uid="", resource_version="")
    pods = [one for one in await writer.pods_of(agents, node) if not value_at(one, ("metadata", "deletionTimestamp"))]
    if not pods:
        return AgentAnswer(why=f"no agent of Cilium's runs on {node}")
    try:
        said = await writer.said(pods[0], CONTAINER, ("cilium-dbg", "status", "-o", "json"))
        files = await writer.said(pods[0], CONTAINER, ("ls", CONF_IN_AGENT.rpartition("/")[0]))
        links = await writer.said(pods[0], CONTAINER, ("ip", "-j", "link", "show", TUNNEL))
    except BotError as error:
        return AgentAnswer(why=f"the agent on {node} does not answer: {error}")
    return understood(node, said, files, links)


def understood(node: str, said: bytes, files: bytes, links: bytes) -> AgentAnswer:
    """What its commands printed: its status, the names of files, and the tunnel's link."""
    try:
        status: dict[str, Any] = msgspec.json.decode(said, type=dict[str, Any])
        found = msgspec.json.decode(links, type=list[_Link])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AgentAnswer(why=f"what the agent on {node} answers is not understood")
    return AgentAnswer(
        state=str(value_at(status, ("cni-file", "state")) or ""),
        files=tuple(files.decode(errors="replace").split()),
        is_tunnel_up=any("UP" in one.flags for one in found),
    )


def cilium_on(wanted: CiliumOn, said: AgentAnswer) -> Holds:
    """Whether the agent does, and the node has, what is wanted."""
    if said.why:
        return Holds(is_so=False, why=said.why)
    if said.state != ("Ok" if wanted.manages else "Disabled"):
        verb = "does not keep" if wanted.manages else "still keeps"
        return Holds(is_so=False, why=f"Cilium's agent on {wanted.node} {verb} the CNI configuration ({said.state})")
    if not said.is_tunnel_up:
        return Holds(is_so=False, why=f"{TUNNEL} on {wanted.node} is down")
    there = sorted(one for one in said.files if one.endswith(_CONFIGURATIONS))
    is_so = wanted.configures is None or (
        there == [CONF_FILE] if wanted.configures else bool(there) and CONF_FILE not in there
    )
    return Holds(is_so=is_so, why=f"the CNI configuration on {wanted.node} is {', '.join(there) or 'not there'}")


def addresses_within(pods: Sequence[Object], pod_range: str) -> Holds:
    """Whether no pod has an address of another range."""
    network = ipaddress.ip_network(pod_range)
    left = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in pods
        if has_pod_address(pod)
        and (address := value_at(pod, ("status", "podIP")))
        and ipaddress.ip_address(address) not in network
    ]
    return Holds(is_so=not left, why=f"{and_more(sorted(left), 3)} still have addresses of the old CNI")


def blocks_of(cilium_node: Object) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """The blocks of addresses that Cilium's operator has given to a node."""
    texts: Sequence[str] = value_at(cilium_node, ("spec", "ipam", "podCIDRs")) or ()
    return tuple(ipaddress.ip_network(text) for text in texts)


def cilium_nodes(found: Sequence[Object], nodes: Sequence[str], ranges: Sequence[str]) -> Holds:
    """Whether each node has a block, and of these ranges."""
    blocks = {str(one["metadata"]["name"]): blocks_of(one) for one in found}
    without = [node for node in nodes if not blocks.get(node)]
    if without:
        return Holds(is_so=False, why=f"Cilium has given no block of addresses to {and_more(without, 3)}")
    wanted = [ipaddress.ip_network(text) for text in ranges]
    for node in nodes:
        for block in blocks[node]:
            if not any(block.version == one.version and block.subnet_of(one) for one in wanted):  # pyright: ignore[reportArgumentType] the same version
                return Holds(is_so=False, why=f"{node} has the block {block}, which is not of {', '.join(ranges)}")
    return Holds(is_so=True)


def test_pods(pods: Sequence[Object], ciliums: Sequence[Object], nodes: Sequence[str], *, is_cilium: bool) -> Holds:
    """Whether a pod is Ready on each node, with an address of the node's block; or, for another CNI, of none."""
    blocks = {str(one["metadata"]["name"]): blocks_of(one) for one in ciliums}
    for node in nodes:
        here = [pod for pod in pods if value_at(pod, ("spec", "nodeName")) == node]
        address = str(value_at(here[0], ("status", "podIP")) or "") if here else ""
        if not address:
            return Holds(is_so=False, why=f"the test pod on {node} has no address")
        is_of_block = any(ipaddress.ip_address(address) in block for block in blocks.get(node, ()))
        if is_of_block != is_cilium:
            whose = "not Cilium's" if is_cilium else "Cilium's"
            return Holds(is_so=False, why=f"the test pod on {node} has the address {address}, which is {whose}")
        if not any(map(is_ready, here)):
            return Holds(is_so=False, why=f"the test pod on {node} is not Ready")
    return Holds(is_so=True)
