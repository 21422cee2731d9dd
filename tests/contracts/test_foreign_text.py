"""Text of clusters, pods, plugins, people and files: no parser of it raises what nobody expects, and none grows.

Each parser is fed noise, and noise made of the words that it looks for, which gets deeper than noise alone.
"""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.ipvs import parse_ipvs
from bot.agent.nft_json import NftError, parse_nft
from bot.agent.task import TaskError, decode_task
from bot.agent.trace.tracefs import parse_trace
from bot.alerts.payload import NotAPayloadError, read_notification
from bot.cluster.access import exec_script, ip_json, node_agents, proc_text
from bot.cluster.client.decoding import decode_object, decode_page
from bot.cluster.client.errors import status_of
from bot.cluster.objects import Node, Pod
from bot.cluster.objects.pods import Container, EnvVar
from bot.cluster.snapshot.dialled import MAX_LENGTH, dialled
from bot.diagnosis import recording
from bot.domain.errors import AgentError, ConfigurationError
from bot.domain.foreign import whole_number, yaml_mistake
from bot.incidents.drafting import read_report
from bot.known_issues.versions import parse_version
from bot.probes.pod_sandbox.messages import understand
from bot.probes.policy.calico_selector import parse_selector
from bot.remediation.cilium.observed import understood
from bot.rules.problems import RulesError
from bot.rules.source import parse as parse_rules
from bot.slack.commands import parse as parse_command
from bot.slack.incoming import received, storable
from bot.slack.plan_commands import wanted as plan_wanted

DEEP = "[" * 50_000
HUGE = "9" * 5_000
SURROGATE = "\ud800"


@dataclass(frozen=True)
class Parser:
    """A way from text to a value. `words` are those that it looks for; `growth` is how much larger a value may be."""

    parse: Callable[[str], Any]
    words: tuple[str, ...]
    errors: tuple[type[Exception], ...] = ()
    growth: int = 40


def as_bytes(parse: Callable[[bytes], Any]) -> Callable[[str], Any]:
    return lambda text: parse(text.encode("utf-8", "surrogatepass"))


JSON = ('{"', '"', ":", ",", "[", "]", "{", "}", "null", "true", "1", "-1e9", HUGE, '"\\ud800"')
PROC = (" ", "\n", "\t", "0", "0x", "0x1f", "-", "--1", HUGE, "00000000", "٣", "eth0")
SECTIONS = ("addr", "route", "rule", "arp", "rt", "counters", "tcp", "links", "sysctls", "to 10.0.0.1")
SCRIPT = tuple(f"{exec_script.MARK}{name}\n" for name in SECTIONS)

PARSERS = {
    "ip addr": Parser(
        ip_json.links, (*JSON, '"ifname"', '"mtu"', '"linkinfo"', '"info_data"', '"vxlan"', '"addr_info"')
    ),
    "ip route": Parser(ip_json.routes, (*JSON, '"dst"', '"table"', '"nexthops"', '"metrics"', '"main"')),
    "ip neigh": Parser(ip_json.neighbours, (*JSON, '"dst"', '"state"')),
    "ip rule": Parser(ip_json.rules, (*JSON, '"src"', '"srclen"', '"table"', '"fwmark"')),
    "ip route get": Parser(lambda text: ip_json.route_answer("q", text), (*JSON, '"dst"', '"type"')),
    "proc arp": Parser(proc_text.neighbours, (*PROC, "IP address\n", "10.0.0.1 0x1 0x2 aa:bb * eth0")),
    "proc route": Parser(proc_text.routes, (*PROC, "Iface\n", "eth0 00000000 0101A8C0 0003 0 0 0 00000000 0")),
    "sys links": Parser(proc_text.links, (*PROC, "eth0 2 2 1500 0x1003 1 aa:bb\n")),
    "proc dev": Parser(proc_text.device_names, PROC),
    "proc counters": Parser(proc_text.counters, (*PROC, "Ip: InReceives\n", "Ip: 1\n")),
    "proc tcp": Parser(lambda text: proc_text.listeners(text, text), (*PROC, "0: 00000000:0050 00000000:0000 0A\n")),
    "sysctls": Parser(proc_text.sysctls, (*PROC, "/proc/sys/net/ipv4/ip_forward:1\n")),
    "resolv.conf": Parser(proc_text.resolver, (*PROC, "nameserver ", "search ", "options ", "ndots:")),
    "commands in a pod": Parser(as_bytes(exec_script.read), (*SCRIPT, *PROC, *JSON)),
    "cat in a pod": Parser(as_bytes(exec_script.read_cat), (*PROC, "IP address\n", "Iface\t", "Ip:", "nameserver ")),
    "node agent": Parser(
        as_bytes(lambda data: node_agents.report_in(data, "node-1")),
        (*JSON, '"schema"', '"cnibot.node-report/v1"', '"node"', '"node-1"', '"root"', '"tests"'),
        (AgentError,),
    ),
    "iptables-save": Parser(
        lambda text: parse_iptables_save(text, "iptables-legacy", "ip", with_steps=True),
        (*PROC, "*filter\n", ":FORWARD DROP [1:2]\n", "-A FORWARD -j DROP\n", "[1:2] -A KUBE-SVC-X ", '"', "\\"),
    ),
    "ipvs": Parser(parse_ipvs, (*PROC, "TCP ", "  -> ", "0A000001:0050")),
    "nft": Parser(
        lambda text: parse_nft(text, with_steps=True), (*JSON, '{"nftables":', '"rule"', '"expr"'), (NftError,)
    ),
    "agent's task": Parser(decode_task, (*JSON, '"schema"', '"pods"', '"tests"'), (TaskError,)),
    "trace": Parser(lambda text: parse_trace(text, [], 1), (*PROC, "kfree_skb: ", "reason: ", "location=", "[000] ")),
    "API list": Parser(
        as_bytes(lambda data: decode_page(data, Pod)), (*JSON, '"items"', '"metadata"', '"spec"'), (ValueError,)
    ),
    "API object": Parser(
        as_bytes(lambda data: decode_object(data, Node)), (*JSON, '"metadata"', '"status"'), (ValueError,)
    ),
    "API status": Parser(as_bytes(status_of), (*JSON, '"message"', '"details"')),
    "alerts": Parser(
        as_bytes(read_notification), (*JSON, '"alerts"', '"labels"', '"status"', '"firing"'), (NotAPayloadError,)
    ),
    "kubelet's messages": Parser(understand, ("rpc error: code = ", "failed to set up ", 'plugin type="', '"', ": ")),
    "Calico's selectors": Parser(parse_selector, ("(", ")", "!", "&&", "||", "has(", "a == 'b'", "in {", "all()")),
    "rules": Parser(
        lambda text: parse_rules(text, "x.yaml").data,
        (*JSON, "- ", "&a ", "*a", "? ", "! ", "2026-99-99", "\n ", "<<: "),
        (RulesError,),
        growth=400,
    ),
    "whole numbers": Parser(whole_number, (*PROC, "5", "007")),
    "versions": Parser(parse_version, ("v", "1", ".", "-rc", "-", "+k3s1", HUGE)),
    "plans' commands": Parser(
        lambda text: plan_wanted(text.split()),
        (
            " ",
            "plan",
            "scale ",
            "shop/web ",
            "selector ",
            "a=b ",
            "target-port ",
            "drain ",
            "for ",
            "fix ",
            "roll-back ",
            HUGE,
        ),
    ),
    "what agents of Cilium say": Parser(
        as_bytes(lambda data: understood("node-1", data, data, data)),
        (*JSON, '"cni-file"', '"state"', '"flags"', '"UP"'),
    ),
    "commands": Parser(parse_command, ("diagnose ", "watch ", "--pod ", "shop", "“", "`", "|", "<", ">", "@")),
}


def made_of(words: Iterable[str]) -> st.SearchStrategy[str]:
    return st.lists(
        st.sampled_from([*words, DEEP, SURROGATE, "\x00", "\u2028"]) | st.text(max_size=8), max_size=30
    ).map("".join)


def size(value: Any) -> int:
    """How much there is in a value, whatever it is made of."""
    return len(repr(value))


@pytest.mark.parametrize("name", PARSERS)
def test_no_parser_raises_or_grows(name: str):
    parser = PARSERS[name]

    @settings(max_examples=25, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
    @given(made_of(parser.words) | st.text(max_size=200))
    def law(text: str) -> None:
        try:
            found = parser.parse(text)
        except parser.errors:
            return
        assert size(found) <= parser.growth * len(text) + 20_000

    law()
    for text in (DEEP, "{" * 100_000, '{"a":' * 100_000, "", "\n", HUGE, SURROGATE, '"\\ud800"'):
        law.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_any_body_of_slack_can_be_kept(value: Any):
    body = {"type": "event_callback", "event": value}

    kept = storable(body)

    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
    received(kept)


def test_a_body_with_half_a_character_is_kept_with_the_rest_of_it():
    body = {"command": "/cni", "text": "diagnose shop \ud83d", "b": [{"\ud800": 1}]}

    kept = storable(body)

    assert kept == {"command": "/cni", "text": "diagnose shop \ufffd", "b": [{"\ufffd": 1}]}


def test_variables_made_of_variables_do_not_double():
    env = [EnvVar(name="A0", value="http://db:5432,")]
    env += [EnvVar(name=f"A{number}", value=f"$(A{number - 1})" * 2) for number in range(1, 60)]
    container = Container(name="app", env=tuple(env))

    found = list(dialled(container))

    assert found
    assert len(found) <= len(env) * MAX_LENGTH


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=60)), max_size=8))
def test_any_environment_is_read(pairs: list[tuple[str, str]]):
    env = tuple(EnvVar(name=name, value=value) for name, value in [*pairs, ("DB_HOST", "db"), ("DB_PORT", HUGE)])

    list(dialled(Container(name="app", env=env, args=("--to=$(DB_HOST):1",))))


# Files: regular ones of bounded size, unpacked in pieces.

RECORDING = (recording.load, "recording")
REPORT = (read_report, "report")


@pytest.fixture(params=[RECORDING, REPORT], ids=["recording", "report"])
def load(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return request.param[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        DEEP.encode(),
        b'{"schema":' * 100_000,
        b'{"unknown":' + DEEP.encode(),
        b'{"schema": "\xff"}',
        b"\x1f\x8b",
        gzip.compress(b"{}", mtime=0)[:-4],
        gzip.compress(DEEP.encode(), mtime=0),
        json.dumps({"schema": "other/v9"}).encode(),
        b'{"schema": "cnibot.recording/v1", "started_at": "\\ud800"}',
    ],
    ids=range(11),
)
def test_a_file_that_is_none_of_ours_is_one_sentence(content: bytes, load: Callable[[Path], Any], tmp_path: Path):
    path = tmp_path / "file.json"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="cannot be used"):
        load(path)


def test_devices_and_pipes_are_refused_without_waiting(load: Callable[[Path], Any], tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (Path("/dev/zero"), pipe, tmp_path):
        with pytest.raises(ConfigurationError, match=r"reading failed: (it is not a regular file|Is a directory)"):
            load(path)


def test_a_small_archive_that_becomes_large_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its end is never unpacked: no more than the bound and one piece are ever there."""
    monkeypatch.setattr(recording, "MAX_BYTES", 4 << 20)
    path = tmp_path / "bomb.json.gz"
    packer = zlib.compressobj(wbits=31)
    path.write_bytes(b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()]))

    with pytest.raises(ConfigurationError, match="it is larger than 4 MiB when unpacked"):
        recording.load(path)


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "MAX_BYTES", 1 << 20)
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    taken: list[int] = []
    read = os.read

    def counted(file: int, most: int) -> bytes:
        part = read(file, most)
        taken.append(len(part))
        return part

    monkeypatch.setattr(os, "read", counted)

    with pytest.raises(ConfigurationError, match="it is larger than 1024 KiB"):
        recording.load(path)

    assert sum(taken) <= (1 << 20) + 1


def test_a_recording_of_several_pieces_is_put_together_again(tmp_path: Path):
    path = tmp_path / "long.json.gz"
    path.write_bytes(gzip.compress(b" " * (3 << 20) + b'{"schema": 1}'))

    with pytest.raises(ConfigurationError, match="Expected `str`, got `int`"):
        recording.load(path)


@pytest.mark.parametrize("text", ["a: [b: s3cr3t", "token: s3cr3t: x", "a: *s3cr3t", "a: 's3cr3t", "{s3cr3t"])
def test_a_yaml_mistake_names_the_place_and_not_what_stands_there(text: str):
    with pytest.raises(yaml.YAMLError) as raised:
        yaml.safe_load(text)

    reported = yaml_mistake(raised.value)

    assert reported.startswith("line 1, column ")
    assert "s3cr3t" not in reported


def test_aliases_of_aliases_are_no_way_to_millions_of_values():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]

    with pytest.raises(RulesError, match="more than 50000 values"):
        parse_rules("\n".join(lines), "bomb.yaml")
