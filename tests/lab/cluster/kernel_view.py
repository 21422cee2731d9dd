"""How tests look at a lab: sockets opened inside a pod or node, and the kernel's own answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bot.lab.cluster.control import LabClient
from tests.conftest import LabUnderTest

_PROBE = r"""
import errno, json, socket, struct, sys, threading, time

def name(error):
    return "timeout" if error.errno is None else errno.errorcode[error.errno]

def tcp(ip, port, patience):
    with socket.socket() as s:
        s.settimeout(patience)
        try:
            s.connect((ip, port))
        except OSError as error:
            return name(error)
        return "ok"

def bulk(ip, port, patience):
    # An echo server must return as much as several full segments.
    try:
        with socket.create_connection((ip, port), patience) as s:
            s.settimeout(patience)
            s.sendall(b"x" * 20000)
            got = 0
            while got < 20000:
                got += len(s.recv(65536))
    except OSError as error:
        return name(error)
    return "ok"

def dns(ip, name_, patience):
    query = struct.pack("!6H", 7, 256, 1, 0, 0, 0)
    query += b"".join(bytes([len(p)]) + p.encode() for p in name_.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        until = time.monotonic() + patience
        answer = None
        while answer is None:
            try:
                s.connect((ip, 53))
                s.send(query)
                answer = s.recv(512)
            except TimeoutError:
                if time.monotonic() >= until:
                    return "timeout"
            except OSError as error:
                return name(error)
    return {0: "ok", 2: "SERVFAIL", 3: "NXDOMAIN"}[answer[3] & 15]

def arp(device, gateway, patience):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as s:
        try:
            s.bind((device, 0x0806))
            s.settimeout(patience)
            mac = s.getsockname()[4]
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            import fcntl
            ip = fcntl.ioctl(own.fileno(), 0x8915, struct.pack("256s", device.encode()))[20:24]
            own.close()
            target = socket.inet_aton(gateway)
            head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
            s.send(b"\xff" * 6 + mac + b"\x08\x06" + head + mac + ip + bytes(6) + target)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                frame = s.recv(128)
                if frame[20:22] == b"\0\2" and frame[28:32] == target:
                    return frame[22:28].hex(":")
        except OSError as error:
            return "none" if error.errno is None else errno.errorcode[error.errno]
    return "none"

asked = json.loads(sys.argv[1])
found = [None] * len(asked)

def work(number, kind, arguments):
    found[number] = {"tcp": tcp, "bulk": bulk, "dns": dns, "arp": arp}[kind](*arguments)

threads = [threading.Thread(target=work, args=(n, k, a)) for n, (k, *a) in enumerate(asked)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class PodNet:
    """A pod's place in the network."""

    namespace: str
    name: str
    ip: str
    node: str
    veth: str

    @property
    def target(self) -> str:
        return f"{self.namespace}/{self.name}"


async def networks(client: LabClient) -> list[PodNet]:
    """Every pod that has a network of its own."""
    return [PodNet(**one) for one in (await client.status())["networks"]]


async def pod(client: LabClient, prefix: str) -> PodNet:
    """The first pod whose ``namespace/name`` begins so."""
    return next(one for one in await networks(client) if one.target.startswith(prefix))


async def probe(client: LabClient, target: str, *asked: tuple[Any, ...]) -> list[str]:
    """Answers to ``("tcp", ip, port, s)``, ``("bulk", …)`` likewise, ``("dns", ip, name, s)``, ``("arp", dev, ip, s)``.

    Each waits at most ``s`` seconds; the answers come in the order of the questions.
    """
    done = await client.exec(target, [sys.executable, "-c", _PROBE, json.dumps(asked)])
    assert done.code == 0, done.err
    return cast("list[str]", json.loads(done.out))


async def run(client: LabClient, target: str, command: str) -> str:
    """What a command prints on both streams."""
    done = await client.exec(target, ["sh", "-c", command])
    return done.out + done.err


async def oracle(client: LabClient, one: PodNet, gateway: str) -> str:
    """What the node's kernel would do with the pod's request for its gateway."""
    said = await run(client, one.node, f"ip route get {gateway} from {one.ip} iif {one.veth}")
    for words, code in (
        ("Network is unreachable", "ENETUNREACH"),
        ("No route to host", "EHOSTUNREACH"),
        ("Invalid argument", "EINVAL"),
    ):
        if words in said:
            return code
    return "local" if said.startswith("local") else "ok"


def kubectl(lab: LabUnderTest, *arguments: str) -> str:
    """kubectl's output; the test is skipped where there is none."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    command = [program, "--kubeconfig", str(lab.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def objects(lab: LabUnderTest, *arguments: str) -> list[dict[str, Any]]:
    """What `kubectl get` lists."""
    return cast("list[dict[str, Any]]", json.loads(kubectl(lab, "get", *arguments, "-o", "json"))["items"])
