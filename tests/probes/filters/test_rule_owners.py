"""Whose a rule is, by its table and chain."""

import pytest

from bot.probes.filters.rule_owners import owners_of


@pytest.mark.parametrize(
    ("table", "is_own"),
    [
        ("kube-proxy", True),
        ("flannel-ipv4", True),
        ("cni_hostport", True),
        ("cni_plugins_masquerade", True),
        ("cni-hardening", False),
        ("flannel_block", False),
        ("kube-proxy-guard", False),
    ],
)
def test_a_table_that_only_begins_like_a_plugin_s_is_a_stranger_s(table: str, *, is_own: bool) -> None:
    assert owners_of("flannel").own(table, "input") == is_own
