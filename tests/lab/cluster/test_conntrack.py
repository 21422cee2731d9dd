"""What kube-proxy deletes of connection tracking, in a network namespace of its own."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.lab
SCRIPT = """
import json, socket, subprocess
from pathlib import Path
from bot.lab.cluster.node.conntrack import forget_udp

def run(*argv, stdin=""):
    subprocess.run(argv, input=stdin, text=True, check=True)

def entries():
    return sum("dport=53 " in line for line in Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines())

run("ip", "link", "set", "lo", "up")
run("ip", "address", "add", "10.43.0.1/16", "dev", "lo")
run("nft", "-f", "-", stdin="table ip t { chain o { type nat hook output priority -100; "
    "ip daddr 10.43.0.10 udp dport 53 dnat to 127.0.0.1:5300; }; }")
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.sendto(b"question", ("10.43.0.10", 53))
seen = [entries()]
for backends in (["127.0.0.1"], ["10.42.1.9"]):
    forget_udp([{"ip": "10.43.0.10", "port": 53, "backends": backends}])
    seen.append(entries())
print(json.dumps(seen))
"""


def test_an_entry_stays_while_it_leads_to_an_endpoint_and_goes_when_it_does_not() -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )

    assert json.loads(done.stdout) == [1, 1, 0]
