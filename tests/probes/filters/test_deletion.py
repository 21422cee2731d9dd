"""Commands that delete a rule: exact as its tool wants it, or none."""

import shlex
import shutil
import subprocess
from typing import Any

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.nft_json import parse_nft
from bot.agent.report import FirewallRule
from bot.probes.filters.deletion import deletions_of
from tests.agent.nodes import Namespaces, is_root, why_no_namespaces


def rule(**fields: Any) -> FirewallRule:
    place: dict[str, Any] = {"backend": "nft", "family": "inet", "table": "guard", "chain": "fwd"}
    about: dict[str, Any] = {"verdict": "drop", "text": "drop"}
    return FirewallRule(**(place | about | fields))


def test_nft_deletes_by_handle_behind_a_look_at_who_has_it():
    assert deletions_of([rule(handle=7), rule(handle=7)]) == (
        "nft -a list chain inet guard fwd | grep -w 'handle 7'",
        "nft delete rule inet guard fwd handle 7",
    )


@pytest.mark.parametrize(
    ("backend", "family", "tool"),
    [
        ("iptables-nft", "ip", "iptables-nft"),
        ("iptables-nft", "ip6", "ip6tables-nft"),
        ("iptables-legacy", "ip", "iptables-legacy"),
        ("iptables-legacy", "arp", "arptables-legacy"),
    ],
)
def test_iptables_deletes_by_the_rule_as_written(backend: str, family: str, tool: str):
    made = rule(backend=backend, family=family, table="filter", chain="FORWARD", text="-A FORWARD -p tcp -j DROP")

    assert deletions_of([made]) == (f"{tool} -t filter -D FORWARD -p tcp -j DROP",)


@pytest.mark.parametrize(
    "fields",
    [
        {"handle": 0},
        {"backend": "iptables-nft", "family": "ip", "chain": "F", "text": "-A F " + "-s 10.0.0.0/8 " * 30},
        {"backend": "iptables-nft", "family": "ip", "chain": "F", "text": '-A F -m comment --comment "cut'},
        {"backend": "iptables-nft", "family": "netdev", "chain": "F", "text": "-A F -j DROP"},
    ],
    ids=["no handle", "cut short", "cut in a comment", "no such tool"],
)
def test_what_cannot_be_named_exactly_has_no_command(fields: dict[str, Any]):
    assert deletions_of([rule(**fields)]) == ()


def test_names_of_a_strangers_do_not_run():
    look, delete = deletions_of([rule(table="a; reboot", handle=3)])

    assert shlex.split(delete) == ["nft", "delete", "rule", "inet", "a; reboot", "fwd", "handle", "3"]
    assert "'a; reboot'" in look


@pytest.mark.lab
@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-")
@pytest.mark.skipif(not is_root(), reason="this process enters the namespaces itself")
@pytest.mark.skipif(not shutil.which("iptables-nft"), reason="no iptables")
def test_the_tools_themselves_delete_that_rule_and_no_other():
    comment = """it's $(touch x) "quoted" \\ `x`"""
    with Namespaces([{}]) as made:

        def typed(command: str) -> str:
            done = subprocess.run(
                [*made.enter(0), "sh", "-c", command], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        typed(f"iptables-nft -A FORWARD -p tcp --dport 80 -m comment --comment {shlex.quote(comment)} -j DROP")
        typed("iptables-nft -A FORWARD -p tcp --dport 81 -j DROP")
        typed("nft 'add table inet guard; add chain inet guard c_fwd { type filter hook forward priority 5; }'")
        for port in (90, 91):
            typed(f"nft add rule inet guard c_fwd tcp dport {port} counter drop")
        saved = parse_iptables_save(typed("iptables-nft-save -c"), "iptables-nft", "ip", with_steps=False)
        listed = parse_nft(typed("nft -j list table inet guard"), with_steps=False)
        for one in (saved.drops[0], listed.drops[0]):
            for command in deletions_of([one]):
                typed(command)
        left = typed("iptables-nft-save; nft list table inet guard")

    assert ("--dport 80" in left, "--dport 81" in left) == (False, True)
    assert ("dport 90" in left, "dport 91" in left) == (False, True)
