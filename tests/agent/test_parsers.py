"""Readers of what others write: right on what is right, and never an exception, whatever comes."""

import contextlib
import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.arp import ArpQuestion, answering_mac, encode_request
from bot.agent.attempts import Echo, checksum
from bot.agent.counters import conntrack, growth, parse_counters, parse_stat_table
from bot.agent.dns import DnsError, decode_answer, encode_question
from bot.agent.hostfiles import plugin_types, sysctl_settings, without_secrets
from bot.agent.iptables_save import parse_iptables_save
from bot.agent.ipvs import parse_ipvs
from bot.agent.listeners import TCP_LISTEN, parse_proc_table
from bot.agent.mtu import ladder, packet_of
from bot.agent.nft_json import NftError, parse_nft
from bot.agent.nft_text import expression_text
from bot.agent.pods import gateway_to_ask
from bot.agent.report import Conntrack, Route, ServicePort
from bot.agent.resolv import parse_resolv_conf, read_resolvers
from bot.agent.rules import RuleSet, firewall, service_rules

ANYTHING = ServicePort(name="x", ip="10.0.0.1", port=80, protocol="tcp")


def test_a_dns_question_is_encoded_as_the_rfc_says():
    assert (
        encode_question(0x1234, "a.bc.")
        == b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01"
    )


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, ".".join(["abcdefg"] * 40), "b\u00fccher.de"])
def test_names_that_dns_cannot_carry_are_refused(name: str):
    with pytest.raises(DnsError):
        encode_question(1, name)


def answer(ident: int = 7, flags: int = 0x8180, records: bytes = b"", count: int = 0) -> bytes:
    return struct.pack("!HHHHHH", ident, flags, 1, count, 0, 0) + b"\x01a\x00\x00\x01\x00\x01" + records


A_RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + bytes([10, 1, 2, 3])
CNAME = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 5, 2) + b"\xc0\x0c"


def test_dns_answers_are_read_with_their_rcode():
    found = decode_answer(answer(records=CNAME + A_RECORD * 9, count=10), 7)
    assert (found.rcode, found.addresses, found.is_truncated) == ("NOERROR", ("10.1.2.3",) * 8, False)
    assert decode_answer(answer(flags=0x8182), 7).rcode == "SERVFAIL"
    assert decode_answer(answer(flags=0x818F), 7).rcode == "RCODE15"
    assert decode_answer(answer(flags=0x8380, count=3), 7).is_truncated


@pytest.mark.parametrize(
    "data", [b"", answer(8), answer(flags=0x0100), answer(count=1), answer(records=b"\x80a", count=1)]
)
def test_what_is_no_answer_to_the_question_is_refused(data: bytes):
    with pytest.raises(DnsError):
        decode_answer(data, 7)


@given(st.sampled_from([b"", answer(count=9)[:12]]), st.binary(max_size=300))
def test_any_datagram_is_an_answer_or_refused(header: bytes, data: bytes):
    try:
        found = decode_answer(header + data, 7)
    except DnsError:
        return
    assert len(found.addresses) <= 8


@given(st.text(max_size=80))
def test_any_name_is_encoded_within_bounds_or_refused(name: str):
    with contextlib.suppress(DnsError):
        assert len(encode_question(1, name)) <= 12 + 255 + 4


NFT_WORDS = [
    "match",
    "left",
    "right",
    "op",
    "payload",
    "field",
    "protocol",
    "vmap",
    "data",
    "set",
    "concat",
    "dnat",
    "addr",
    "port",
    "map",
    "drop",
    "reject",
    "jump",
    "target",
    "counter",
    "packets",
    "xt",
    "elem",
    "val",
    "expr",
    "name",
    "chain",
    "table",
    "hook",
    "prio",
]
expressions = st.recursive(
    st.none() | st.integers() | st.text(max_size=12) | st.just("=="),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NFT_WORDS), inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(
    st.sampled_from(["rule", "chain", "map", "counter", "table"]),
    expressions | st.fixed_dictionaries({"expr": st.lists(expressions, max_size=4)}),
    max_size=2,
)


@given(st.lists(objects, max_size=4))
def test_any_json_of_nft_is_read(listed: list[object]):
    found = parse_nft(json.dumps({"nftables": listed}), with_steps=True)

    firewall(found, found)
    service_rules([ANYTHING], found)
    assert all(len(drop.text) <= 300 for drop in found.drops)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"nftables": 5}', "[" * 50_000])
def test_what_is_no_json_of_nft_is_refused(text: str):
    with pytest.raises(NftError):
        parse_nft(text, with_steps=False)


@given(expressions)
def test_any_expression_has_a_bounded_text(value: object):
    assert len(expression_text(value)) <= 300


words = st.sampled_from(
    [
        "-A",
        "FORWARD",
        "-j",
        "DROP",
        "REJECT",
        "DNAT",
        "-d",
        "10.0.0.1/32",
        "10.0.0.1",
        "!",
        "-p",
        "tcp",
        "--dport",
        "--dports",
        "80",
        "80,443",
        "--to-destination",
        "10.0.0.2:80",
        "--reject-with",
        "[1:2]",
        "*filter",
        ":FORWARD",
        "ACCEPT",
        "-",
        "COMMIT",
        "#",
        '"',
        "\\",
        "\n",
        "\n-A",
        "-g",
        "--comment",
    ]
)


@given(st.lists(words | st.text(max_size=8), max_size=60))
def test_any_iptables_save_is_read(parts: list[str]):
    found = parse_iptables_save(" ".join(parts), "iptables-nft", "ip", with_steps=True)

    firewall(found, found)
    service_rules([ANYTHING], found)
    assert all(len(drop.text) <= 300 for drop in found.drops)


def test_iptables_rules_are_read_by_their_options_and_not_by_their_comments():
    text = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -p tcp -m comment --comment "-d 10.0.0.1/32 -j DROP" -j ACCEPT
-A KUBE-SERVICES ! -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.0.0.0/8 -p tcp -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m multiport --dports 80,443 -g KUBE-SVC-X
-A KUBE-SVC-X -j DNAT --to-destination 10.0.0.9
COMMIT
"""
    found = parse_iptables_save(text, "iptables-legacy", "ip", with_steps=True)

    assert found.drops == []
    [service] = service_rules([ANYTHING], found)
    assert (service.mentions, service.backends) == (1, ("10.0.0.9",))


def test_chains_that_lead_in_circles_end():
    text = "-A A -d 10.0.0.1/32 -j B\n-A B -j C\n-A C -j B\n-A C -j DNAT --to-destination 10.0.0.9:1\nCOMMIT\n"
    hook = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j A\n"
    [service] = service_rules([ANYTHING], parse_iptables_save(hook + text, "iptables-nft", "ip", with_steps=True))

    assert service.backends == ("10.0.0.9:1",)


def test_a_strangers_translation_is_no_backend_of_a_service():
    """A hostPort's or a VPN's rule takes the Service's address before kube-proxy does."""
    text = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -d 10.0.0.1/32 -j DNAT --to-destination 192.0.2.77:1
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.0.0.1/32 -j DNAT --to-destination 10.0.0.9:1
COMMIT
"""
    [service] = service_rules([ANYTHING], parse_iptables_save(text, "iptables-nft", "ip", with_steps=True))

    assert (service.mentions, service.backends) == (1, ("10.0.0.9:1",))


def test_chains_to_which_nothing_leads_are_not_counted():
    """kube-proxy's map of Services lost an entry: its chain is still there, and still names the address."""
    text = "*nat\n:OUTPUT ACCEPT [0:0]\n-A B -d 10.0.0.1/32 -j DNAT --to-destination 10.0.0.9:1\nCOMMIT\n"
    [service] = service_rules([ANYTHING], parse_iptables_save(text, "iptables-nft", "ip", with_steps=True))

    assert (service.mentions, service.backends) == (0, ())


def test_many_drops_are_cut_with_those_that_took_packets_first():
    lines = [f"[{at}:0] -A FORWARD -s 10.0.{at}.1/32 -j DROP" for at in range(250)]
    before = parse_iptables_save("*filter\n" + "\n".join(lines), "iptables-nft", "ip", with_steps=False)
    lines[3] = "[10:0] -A FORWARD -s 10.0.3.1/32 -j DROP"
    after = parse_iptables_save("*filter\n" + "\n".join(lines), "iptables-nft", "ip", with_steps=False)
    found = firewall(before, after)

    assert (len(found.drops), found.drops_total) == (200, 250)
    assert (found.drops[0].packets, found.drops[0].packets_delta) == (10, 7)
    assert found.drops[1].packets == 249
    assert firewall(before, RuleSet()).drops[0].packets_delta is None


IPVS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000001:0050 rr
  -> 0A2A0003:1F90      Masq    1      0          0
  -> 0A2A0103:1F90      Masq    1      0          0
UDP  0A000001:0050 rr
TCP  [fd00::1]:0050 rr
  -> 0A2A0003:1F90      Masq    1      0          0
"""


def test_ipvs_servers_are_service_rules():
    [service] = service_rules([ANYTHING], parse_ipvs(IPVS))

    assert (service.mentions, service.backends) == (1, ("10.42.0.3:8080", "10.42.1.3:8080"))


@given(st.text(alphabet="TCPUD ->:0A1F\n[]x", max_size=200))
def test_any_ipvs_table_is_read(text: str):
    parse_ipvs(text)


def test_counters_are_read_by_pairs_of_lines():
    text = "Ip: Forwarding InAddrErrors\nIp: 1 7\nUdp: NoPorts Extra\nUdp: 3\nTcp: A\nOther: 4\nIcmp: A\nIcmp: x\n"

    assert parse_counters(text) == {"Ip.Forwarding": 1, "Ip.InAddrErrors": 7, "Udp.NoPorts": 3}
    assert parse_counters(text, ("Udp.NoPorts", "Ip.Nothing")) == {"Udp.NoPorts": 3}
    assert growth({"a": 1, "b": 5}, {"a": 3, "b": 5, "c": 9}) == {"a": 2}


@given(st.text(alphabet="Ip:Udp 123\n-x", max_size=200))
def test_any_counters_are_read(text: str):
    parse_counters(text)
    parse_stat_table(text)


def test_conntrack_statistics_are_summed_over_processors():
    table = "entries  drop insert_failed\n00000010 00000002 00000001\n00000010 0000000a 00000000\n"
    before = parse_stat_table(table)

    assert before == {"entries": 32, "drop": 12, "insert_failed": 1}
    after = before | {"drop": 15}
    found = conntrack({"netfilter.nf_conntrack_count": "5", "netfilter.nf_conntrack_max": "none"}, before, after)
    assert found == Conntrack(count=5, drop=15, insert_failed=1, drop_delta=3, insert_failed_delta=0)
    assert conntrack({}, {}, {}) == Conntrack()


PROC_TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00
  nonsense
"""


def test_listeners_are_read_from_proc_where_the_kernel_cannot_be_asked():
    found = list(parse_proc_table(PROC_TCP, "tcp", TCP_LISTEN))

    assert [(one.ip, one.port, one.queued, one.backlog) for one in found] == [
        ("127.0.0.1", 8080, 2, None),
        ("::", 80, 0, None),
    ]


@given(st.text(alphabet="0123456789ABCDEF: \nx", max_size=200))
def test_any_proc_table_is_read(text: str):
    list(parse_proc_table("header\n" + text, "tcp", TCP_LISTEN))


def test_resolv_conf_is_read_as_the_resolver_reads_it():
    text = (
        "# comment\nnameserver 10.43.0.10\nnameserver\nsearch first.example\n"
        "search shop.svc.cluster.local svc.cluster.local\noptions timeout:1 ndots:5 ndots:x\nnameserver 10.43.0.11\n"
    )

    assert parse_resolv_conf(text) == (("10.43.0.10", "10.43.0.11"), ("shop.svc.cluster.local", "svc.cluster.local"), 5)
    assert parse_resolv_conf("") == ((), (), 1)


@given(st.text(max_size=300))
def test_any_resolv_conf_is_read(text: str):
    nameservers, search, _ = parse_resolv_conf(text)
    assert len(nameservers) <= 8
    assert len(search) <= 8


def test_plugins_secrets_and_settings_of_host_files():
    conf = (
        '{"plugins": [{"type": "flannel", "delegate": {}}, {"type": "portmap"}, 5, {"ipam": {"type": "host-local"}}]}'
    )
    assert plugin_types(conf) == ("flannel", "portmap", "host-local")
    assert plugin_types('{"type": "bridge", "ipam": 5}') == ("bridge",)
    assert plugin_types("{") == ()
    secret = 'token: abc\n"password": "p w", "Secret"="x" and eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJr.c2ln'
    shown = without_secrets(secret)
    for word in ("abc", "p w", '"x"', "eyJ"):
        assert word not in shown
    settings = (
        "# net.ipv4.ip_forward = 0\n net.ipv4.ip_forward=1\n-net/ipv4/conf/all/rp_filter = 2\nkernel.panic = 1\n"
        "net.ipv4.conf.*.proxy_arp = 0 \nnet.ipv4.tcp_fin_timeout = 5\n"
    )
    assert list(sysctl_settings(settings)) == [
        "net.ipv4.ip_forward = 1",
        "net.ipv4.conf.all.rp_filter = 2",
        "net.ipv4.conf.*.proxy_arp = 0",
    ]


@given(st.text(max_size=300))
def test_any_host_file_is_read(text: str):
    plugin_types(text)
    without_secrets(text)
    list(sysctl_settings(text))


def test_arp_requests_carry_the_pods_own_addresses_and_only_replies_count():
    question = ArpQuestion(dev="eth0", mac=b"\x02" * 6, src="10.42.0.3", ip="169.254.1.1")
    request = encode_request(question)

    assert len(request) == 60
    assert request[:14] == b"\xff" * 6 + b"\x02" * 6 + b"\x08\x06"
    assert request[22:32] == b"\x02" * 6 + socket.inet_aton("10.42.0.3")
    assert request[38:42] == socket.inet_aton("169.254.1.1")
    assert answering_mac(request, "10.42.0.3") == ""
    reply = request[:20] + b"\x00\x02" + b"\xee" * 6 + socket.inet_aton("169.254.1.1") + request[32:]
    assert answering_mac(reply, "169.254.1.1") == "ee:ee:ee:ee:ee:ee"
    assert answering_mac(reply, "169.254.1.2") == ""


@given(st.binary(max_size=80))
def test_any_frame_and_any_packet_is_looked_at(data: bytes):
    assert answering_mac(data, "169.254.1.1") in {"", data[22:28].hex(":")}
    echo = Echo(ident=1, sequence=2)
    echo.is_reply(data)
    echo.is_ours(data)


@given(st.binary(max_size=100))
def test_a_message_with_its_checksum_sums_to_zero(data: bytes):
    padded = data + b"\0" * (len(data) % 2)
    assert checksum(padded + checksum(padded).to_bytes(2, "big")) == 0


def test_the_mtu_ladder_has_the_devices_mtu_and_one_more():
    assert ladder(1450) == (576, 1280, 1400, 1410, 1430, 1440, 1450, 1451, 1480, 1500)
    assert ladder(9000)[-2:] == (9000, 9001)
    assert ladder(65_536) == (576, 1280, 1400, 1410, 1430, 1440, 1450, 1480, 1500)
    for size in ladder(1450):
        assert len(packet_of("10.0.0.1", size, Echo(ident=1, sequence=1))) == size


@pytest.mark.parametrize(
    ("device", "route", "last"),
    [
        (1500, None, (1500, 1501)),
        (1500, 1450, (1440, 1450)),
        (9000, 8950, (1500, 8950)),
        (1450, 1500, (1480, 1500)),
        (1500, 20, (1500, 1501)),
    ],
    ids=["device", "smaller route", "jumbo", "route above the device", "nonsense"],
)
def test_the_mtu_ladder_ends_where_the_route_does(device: int, route: int | None, last: tuple[int, int]):
    assert ladder(device, route)[-2:] == last


def test_the_gateway_to_ask_is_the_default_routes_unless_that_leaves_elsewhere():
    def default(via: str, dev: str, metric: int = 0) -> Route:
        return Route(dst="default", via=via, dev=dev, metric=metric)

    assert gateway_to_ask([default("10.42.0.1", "eth0")], "eth0", "169.254.1.1") == "10.42.0.1"
    assert gateway_to_ask([default("192.0.2.1", "net1")], "eth0", "169.254.1.1") == "169.254.1.1"
    assert gateway_to_ask([default("192.0.2.1", "net1", 9), default("10.1.1.1", "eth0", 1)], "eth0", "") == "10.1.1.1"
    assert gateway_to_ask([default("fe80::1", "eth0")], "eth0", "169.254.1.1") == "169.254.1.1"
    assert gateway_to_ask([], "eth0", "") == ""


def test_the_resolvers_of_a_node_are_those_behind_systemds_stub(tmp_path: Path):
    assert read_resolvers(str(tmp_path)) == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 127.0.0.53\nnameserver ::1\nnameserver nonsense\n")
    assert read_resolvers(str(tmp_path)) == ()
    (tmp_path / "run/systemd/resolve").mkdir(parents=True)
    upstream = tmp_path / "run/systemd/resolve/resolv.conf"
    upstream.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n")
    assert read_resolvers(str(tmp_path)) == ("192.0.2.1", "192.0.2.2")
