"""What looks guilty and breaks nothing: the same instruments, aimed past everything that is needed."""

from typing import Any

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.mechanisms.objects import policy, server
from bot.gym.generated.scenario import Change, Selector, Step, Target, Truth

_QUIET = Truth()


def _node(draw: Draw) -> Target:
    return draw.one(["src-node", "dst-node", "other-node"])


def _decoy(place: str, says: str, *steps: Step, changes: tuple[Change, ...] = (), selector: Selector = "all") -> Draft:
    return Draft(place=place, says=says, selector=selector, steps=steps, changes=changes, truth=_QUIET)


@mechanism("rule-meets-nothing", "decoy", weight=5)
def rule_meets_nothing(draw: Draw) -> Draft:
    """A drop rule for an address, a port, a device or a size that nothing here has."""
    name, on = draw.name(), _node(draw)
    hook = draw.one(["prerouting", "forward", "postrouting", "input", "output"])
    selector, match = draw.one(
        [
            ("pod", f"ip saddr 192.0.2.{draw.chance.randint(1, 250)}"),
            ("pod", "ip daddr 203.0.113.0/24"),
            ("port", f"tcp dport {draw.chance.randint(20000, 29999)}"),
            ("port", "ip saddr $SRC_IP tcp dport 3306"),
            ("protocol", "ip protocol 47"),
            ("protocol", "ip saddr $SRC_IP ip protocol sctp"),
            ("pod", 'iifname "docker0"' if hook in {"prerouting", "input", "forward"} else 'oifname "docker0"'),
            ("size", "meta length > 60000"),
            ("state", "ct state invalid ip daddr 192.0.2.9"),
            ("pod and port", "ip saddr $OTHER_IP ip daddr 192.0.2.1 tcp dport $PORT"),
        ]
    )
    family, count = draw.one(["ip", "inet"]), "counter " if draw.maybe() else ""
    text = (
        f"table {family} {name} {{ chain enforce {{ type filter hook {hook} priority {draw.one([-10, 0, 10])}; "
        f"policy accept; {match} {count}drop; }}; }}"
    )
    step = Step(on=on, do=f"nft '{text}'", undo=f"nft delete table {family} {name}")
    return _decoy(on, f"a {family} rule at {hook} drops {match}", step, selector=selector)  # type: ignore[arg-type]


@mechanism("busy-counters", "decoy", weight=3)
def busy_counters(draw: Draw) -> Draft:
    """A table that counts, marks or logs everything and lets it pass; or one that drops behind a rule that accepts."""
    name, on = draw.name(), _node(draw)
    body = draw.one(
        [
            "counter",
            "counter accept",
            "ip saddr $SRC_IP counter meta mark set 0x77",
            "counter accept; counter drop",
            "ct state established,new,related,untracked,invalid accept; drop",
            "limit rate 1/second counter accept",
        ]
    )
    hook = draw.one(["prerouting", "forward", "postrouting"])
    text = (
        f"table inet {name} {{ chain c_acct {{ type filter hook {hook} priority {draw.one([-10, 5, 20])}; "
        f"policy accept; {body}; }}; }}"
    )
    return _decoy(
        on, f"counts at {hook}: {body}", Step(on=on, do=f"nft '{text}'", undo=f"nft delete table inet {name}")
    )


@mechanism("rule-in-pod-meets-nothing", "decoy", weight=1)
def rule_in_pod(draw: Draw) -> Draft:
    """A sidecar's rules: a redirect for a port that nobody uses, a drop for one that nobody dials."""
    name = draw.name()
    text = (
        f"table ip {name} {{ chain out {{ type filter hook output priority 0; policy accept; "
        f"{draw.one(['tcp dport 25 drop', 'ip daddr 169.254.169.254 drop', 'tcp dport 15001 counter drop'])}; }}; }}"
    )
    return _decoy(
        "source pod",
        "a rule in the pod drops what nobody sends",
        Step(on="src-pod", do=f"nft '{text}'", undo=f"nft delete table ip {name}"),
    )


@mechanism("unused-route", "decoy", weight=2)
def unused_route(draw: Draw) -> Draft:
    """A refusing route, a rule or a table for addresses that nobody dials."""
    on, kind = _node(draw), draw.one(["blackhole", "unreachable", "prohibit"])
    table, priority = draw.chance.randint(100, 250), draw.chance.randint(50, 20000)
    step = draw.one(
        [
            Step(on=on, do=f"ip route add {kind} 192.0.2.0/24", undo=f"ip route del {kind} 192.0.2.0/24"),
            Step(on=on, do=f"ip route add {kind} 10.99.0.0/16", undo=f"ip route del {kind} 10.99.0.0/16"),
            Step(on=on, do=f"ip rule add from 192.0.2.7 pref {priority} {kind}", undo=f"ip rule del pref {priority}"),
            Step(
                on=on,
                do=f"ip rule add fwmark 0x99 lookup {table} pref {priority}; ip route add {kind} default table {table}",
                undo=f"ip route flush table {table}; ip rule del pref {priority}",
            ),
            Step(
                on=on,
                do=f"ip rule add from $SRC_IP lookup {table} pref {priority}",
                undo=f"ip rule del pref {priority}",
            ),
            Step(on=on, do=f"ip rule add from all lookup main pref {priority}", undo=f"ip rule del pref {priority}"),
            Step(on=on, do="ip route add 169.254.0.0/16 dev eth0 metric 1002", undo="ip route del 169.254.0.0/16"),
        ]
    )
    return _decoy(on, step.do, step)


@mechanism("idle-queue", "decoy", weight=2)
def idle_queue(draw: Draw) -> Draft:
    """A shaper that is wide enough, a clsact without filters, a filter that matches nothing."""
    on, device = draw.one(
        [("src-node", "$SRC_VETH"), ("dst-node", "$DST_VETH"), ("src-node", "eth0"), ("src-node", "$TUN")]
    )
    target: Target = "src-node" if on == "src-node" else "dst-node"
    sink = f"span{draw.chance.randint(0, 9)}"
    step = draw.one(
        [
            Step(
                on=target,
                do=f"tc qdisc add dev {device} root tbf rate 1gbit burst 1mb limit 10mb",
                undo=f"tc qdisc del dev {device} root",
            ),
            Step(on=target, do=f"tc qdisc add dev {device} clsact", undo=f"tc qdisc del dev {device} clsact"),
            Step(
                on=target, do=f"tc qdisc add dev {device} root pfifo limit 500", undo=f"tc qdisc del dev {device} root"
            ),
            Step(
                on=target,
                do=(
                    f"ip link add {sink} type bridge; ip link set {sink} up; tc qdisc add dev {device} clsact; "
                    f"tc filter add dev {device} ingress protocol ip u32 match ip dport 33000 0xffff "
                    f"action mirred egress redirect dev {sink}"
                ),
                undo=f"tc qdisc del dev {device} clsact; ip link del {sink}",
            ),
        ]
    )
    return _decoy(on, step.do, step)


@mechanism("unused-entries", "decoy", weight=2)
def unused_entries(draw: Draw) -> Draft:
    """Neighbour and forwarding entries about nobody, settings where no packet comes by, a spare bridge."""
    on, octet = _node(draw), draw.chance.randint(16, 250)
    mac = f"5a:10:2d:6e:77:{octet:02x}"
    step = draw.one(
        [
            Step(
                on=on,
                do=f"ip neigh replace 172.30.0.{octet} lladdr {mac} dev eth0 nud permanent",
                undo=f"ip neigh del 172.30.0.{octet} dev eth0",
            ),
            Step(
                on=on,
                do=f"bridge fdb add {mac} dev $TUN dst 172.30.0.{octet} self permanent",
                undo=f"bridge fdb del {mac} dev $TUN dst 172.30.0.{octet} self permanent",
            ),
            Step(
                on=on,
                do="ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up",
                undo="ip link del docker0",
            ),
            Step(on=on, do="ip link add br-old type bridge; ip link set br-old mtu 1200", undo="ip link del br-old"),
            Step(
                on=on,
                do="echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify",
                undo="echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify",
            ),
            Step(
                on="src-pod",
                do="ip neigh replace 169.254.169.254 dev eth0 nud failed",
                undo="ip neigh del 169.254.169.254 dev eth0",
            ),
            Step(
                on="src-pod",
                do="ip link add dummy-br type bridge; ip link set dummy-br up",
                undo="ip link del dummy-br",
            ),
        ]
    )
    return _decoy(on, step.do, step)


@mechanism("namespace-in-pod", "decoy", weight=1)
def namespace_in_pod(draw: Draw) -> Draft:
    """A process of the pod has a network namespace of its own, without any device: a build in a container."""
    seconds = draw.chance.randint(5000, 9000)
    do = f"setsid unshare -n sleep {seconds} </dev/null >/dev/null 2>&1 & sleep 0.1"
    undo = (
        f"for p in /proc/[0-9]*; do [ \"$$(tr '\\0' ' ' < $$p/cmdline 2>/dev/null)\" != 'sleep {seconds} ' ] "
        "|| kill $${p#/proc/}; done"
    )
    return _decoy("source pod", "a namespace inside the pod's", Step(on="src-pod", do=do, undo=undo))


@mechanism("policy-denies-strangers", "decoy", weight=4)
def policy_denies_strangers(draw: Draw) -> Draft:
    """Policies that allow what is needed, deny strangers, or concern other namespaces."""
    name, namespace = f"{draw.name()}-policy", draw.edge.namespace
    everybody: dict[str, Any] = {"podSelector": {}}
    dns: dict[str, Any] = {"ports": [{"protocol": "UDP", "port": 53}]}
    probes: dict[str, Any] = {"ipBlock": {"cidr": "172.30.0.0/24"}}
    change = draw.one(
        [
            policy(
                draw, name, {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [everybody, probes]}]}
            ),
            policy(
                draw,
                name,
                {
                    "podSelector": {"matchLabels": server(draw)},
                    "policyTypes": ["Ingress"],
                    "ingress": [{"from": [everybody], "ports": [{"protocol": "TCP", "port": draw.edge.port}]}],
                },
            ),
            policy(draw, name, {"podSelector": {}, "policyTypes": ["Egress"], "egress": [dns, {"to": [everybody]}]}),
            policy(draw, name, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "distroless"),
            policy(
                draw, name, {"podSelector": {"matchLabels": {"app": "nobody"}}, "policyTypes": ["Ingress", "Egress"]}
            ),
        ]
    )
    return _decoy("policy", f"in {change.namespace or namespace}: {dict(change.body)['spec']}", changes=(change,))


@mechanism("unused-service", "decoy", weight=2)
def unused_service(draw: Draw) -> Draft:
    """A Service without endpoints that nobody dials, in this namespace or another one."""
    name = f"{draw.name()}-old"
    namespace = draw.one([draw.edge.namespace, "default", "shop"])
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": "retired"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    change = Change(verb="create", resource="services", namespace=namespace, name=name, body=body)
    return _decoy("service", f"the Service {namespace}/{name} has no endpoints", changes=(change,))


@mechanism("unready-by-design", "decoy", weight=1)
def unready_by_design(draw: Draw) -> Draft:
    """A standby pod that is ready only when it leads: its probe asks a port that only the leader opens."""
    name = f"{draw.name()}-standby"
    container: dict[str, Any] = {
        "name": "standby",
        "image": "registry.k8s.io/pause:3.10",
        "readinessProbe": {"tcpSocket": {"port": 9999}, "periodSeconds": 5},
    }
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": draw.edge.namespace, "labels": {"app": name}},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }
    change = Change(verb="create", resource="pods", namespace=draw.edge.namespace, name=name, body=body)
    return _decoy("workload", f"the pod {name} is never ready, by design", changes=(change,))
