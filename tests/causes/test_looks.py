"""Looks can be pasted: what is known is in them, what is not they find themselves, and else there is none."""

import re
import subprocess
from dataclasses import replace

import pytest

from bot.causes.looks import BLANKS, filled
from bot.domain.facts import CLUSTER, FactSpec, FactTable, Relations, Subject, SubjectKind, Value
from bot.probes.catalogue import FACTS
from tests.causes.cluster_facts import changed, healthy, subject, table

BLANK = re.compile(r"<[a-z][^<>]*>")
DNS = subject("service kube-system/kube-dns")


def known() -> FactTable:
    """A healthy cluster with the addresses that the API lists."""
    plain = table(changed(healthy(), {"cluster": {"dns_service_ip": "10.43.0.10"}}))
    behind = sorted({pod for pods in plain.relations.pods_of_service.values() for pod in pods})
    addresses = {pod: f"10.42.0.{number}" for number, pod in enumerate(plain.relations.node_of_pod, 10)}
    addresses |= {subject(f"node node-{number}"): f"172.30.0.1{number}" for number in (1, 2, 3)}
    addresses |= {DNS: "10.43.0.10", subject("service shop/s"): "10.43.0.20"}
    ports = {DNS: 53, subject("service shop/s"): 9004} | dict.fromkeys(behind, 8080)
    return FactTable(plain.values, relations=replace(plain.relations, addresses=addresses, ports=ports))


def by_name_alone() -> FactTable:
    """Of which nothing was observed but what the API lists: names and addresses."""
    full = known()
    nothing: dict[Subject, dict[str, Value]] = {one: {} for one in (*full.values, CLUSTER)}
    return FactTable(nothing, relations=full.relations)


def texts(spec: FactSpec, facts: FactTable) -> list[str]:
    """The look for every subject of its kind, where there is one."""
    relations = facts.relations
    subjects = {one for one in (*facts.values, *relations.addresses, CLUSTER) if one.kind is spec.kind}
    return [text for one in sorted(subjects) if (text := filled(spec.look, one, facts))]


def commands(facts: FactTable) -> dict[str, list[str]]:
    """Of every fact of every probe; checked to be what a shell takes, with nothing left out."""
    found = {spec.name: texts(spec, facts) for spec in FACTS.values()}
    every = [text for each in found.values() for text in each]
    check = subprocess.run(
        ["bash", "-n"], input="\n".join(every), text=True, capture_output=True, check=False, timeout=60
    )
    assert check.stderr == ""
    assert [text for text in every if BLANK.search(text)] == []
    return found


def test_a_look_leaves_out_only_what_is_filled_in() -> None:
    blanks = {blank.strip("<>") for spec in FACTS.values() for blank in BLANK.findall(spec.look)}

    assert blanks == BLANKS


def test_every_fact_has_a_command_that_can_be_pasted() -> None:
    assert [name for name, found in commands(known()).items() if not found] == []


def test_what_was_not_observed_a_look_finds_itself() -> None:
    found = commands(by_name_alone())

    assert {name for name, each in found.items() if not each} == {
        spec.name for spec in FACTS.values() if "<address>" in spec.look and spec.kind is SubjectKind.NODE
    }, "without the address of the DNS Service a node's own way to it cannot be named"
    link = found["pod.host_link"][0]
    assert link.startswith("ip -d link show $(grep -lx $(nsenter -t $(crictl inspectp")
    assert "--namespace ^kube-system$ --name ^dns-1$" in link
    assert link.endswith("# on node-1")


@pytest.mark.parametrize(
    ("look", "of", "text"),
    [
        ("ip link show <host link>  # on <node>", "pod shop/a", "ip link show cali0  # on node-1"),
        ("kubectl exec <pod> -- ip route", "pod shop/a", "kubectl exec -n shop a -- ip route"),
        ("nc <address> <port>  # on <node>", "node node-1", "nc 10.43.0.10 53  # on node-1"),
        (
            "kubectl exec <client> -- nc <address> <port>",
            "service shop/s",
            "kubectl exec -n shop a -- nc 10.43.0.20 9004",
        ),
        ("ping <remote pod ip>  # on <node>", "pair node-1>node-2", "ping 10.42.0.11  # on node-1"),
        ("ping <other node ip>  # on <node>", "pair node-1>node-2", "ping 172.30.0.12  # on node-1"),
    ],
)
def test_what_is_known_is_in_it(look: str, of: str, text: str) -> None:
    assert filled(look, subject(of), known()) == text


def test_a_services_own_address_is_never_replaced_by_another() -> None:
    facts = FactTable({CLUSTER: {"dns_service_ip": "10.43.0.10"}})

    rules = "nft list ruleset | grep <address>  # on <node>"

    assert filled(rules, subject("node node-1"), facts) == "nft list ruleset | grep 10.43.0.10  # on node-1"
    assert filled(rules, subject("service shop/web"), facts) == ""
    assert filled("ip rule  # on <node>", subject("service shop/web"), facts) == "ip rule  # on any node"


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    pod = subject("pod shop/a$(reboot)")
    facts = FactTable({pod: {}}, relations=Relations())

    assert filled("kubectl exec <pod> -- ip route", pod, facts) == "kubectl exec -n shop 'a$(reboot)' -- ip route"
    assert "reboot)" not in filled("nsenter -t <pid> -n ip route", pod, facts)
