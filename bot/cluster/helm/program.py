"""Runs the `helm` program: by an argument list and no shell, without plugins, ended with us and by its deadline.

Settings of Helm's own in our environment (another storage driver, another cluster) do not count: what it is to do, and
where, stands in its arguments.

Source: https://helm.sh/docs/helm/helm_rollback/ (Helm 4) and https://helm.sh/docs/v3/helm/helm_rollback/
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory

import yaml

from bot.aio.children import child_environment, ending_with_us
from bot.aio.each import each
from bot.cluster.client.cluster_access import ClusterAccess
from bot.domain.errors import BotError, bounded
from bot.domain.redact import redact

HELM_S = 60.0
"""How long a command may take that only reads."""
MAX_OUTPUT = 8 << 20
_MAX_COMPLAINT = 600
_VERSIONS = ("v3.", "v4.")
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class HelmMissingError(BotError):
    """There is no such program, or none of a version that we know."""


class HelmFailedError(BotError):
    """Helm ended without success, or was ended by its deadline. What it has done until then, only a look tells."""

    def __init__(self, sentence: str, *, was_ended: bool = False) -> None:
        super().__init__(sentence)
        self.was_ended = was_ended
        """By its deadline: a request of it may still be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    code: int
    output: bytes
    complaint: bytes

    @property
    def why(self) -> str:
        """What it complains of, secrets struck out."""
        text = redact(self.complaint.decode("utf-8", "replace"))
        return bounded(text.strip(), _MAX_COMPLAINT) or f"exit code {self.code}"


async def helm_version(program: str) -> str:
    """Its version: "v4.2.3". Errors: `HelmMissingError`."""
    with _private() as home:
        environment = {**helm_environment(home), "HOME": home, "KUBECONFIG": "/dev/null"}
        try:
            done = await run(program, ("version", "--template", "{{.Version}}"), environment, deadline_s=HELM_S)
        except TimeoutError as error:
            raise HelmMissingError(f"{program} version did not end within {HELM_S:.0f} s.") from error
    version = done.output.decode("utf-8", "replace").strip()
    if not version.startswith(_VERSIONS):
        raise HelmMissingError(f"{program} is Helm {bounded(version, 40)!r}. Install Helm 3 or 4.")
    return version


async def roll_back_release(  # noqa: PLR0913 what the command says
    program: str,
    access: ClusterAccess,
    release: str,
    revision: int,
    *,
    namespace: str,
    timeout_s: float,
    deadline_s: float,
    is_dry_run: bool = False,
) -> None:
    """Roll a release back to this revision. It does not wait for pods: whoever asked looks for them.

    A dry run shows that Helm finds the release and the revision by these credentials, and nothing else.
    Errors: `HelmMissingError`: nothing was done; `HelmFailedError`.
    """
    version = await helm_version(program)
    arguments = ["rollback", release, str(revision), "--namespace", namespace, "--timeout", f"{timeout_s:.0f}s"]
    if is_dry_run:
        arguments.append("--dry-run=server" if version.startswith("v4.") else "--dry-run")
    with _private() as home:
        arguments += ["--kube-context", access.context] if access.kubeconfig else []
        environment = {**helm_environment(home), "KUBECONFIG": _kubeconfig(access, Path(home))}
        try:
            done = await run(program, arguments, environment, deadline_s=deadline_s)
        except TimeoutError as error:
            sentence = f"helm rollback did not end within {deadline_s:.0f} s, and was ended."
            raise HelmFailedError(sentence, was_ended=True) from error
    if done.code:
        raise HelmFailedError(f"helm rollback failed: {done.why.rstrip('.')}.")


def _private() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="cnibot-helm-")


def _kubeconfig(access: ClusterAccess, home: Path) -> str:
    """The files that are in use; in a pod one of our own, with the address in use and without any secret in it."""
    if access.kubeconfig:
        return os.pathsep.join(str(Path(one).expanduser()) for one in access.kubeconfig.split(os.pathsep) if one)
    cluster = {"server": access.server, "certificate-authority": f"{_SERVICE_ACCOUNT}/ca.crt"}
    if access.tls_name:
        cluster["tls-server-name"] = access.tls_name
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "own",
        "clusters": [{"name": "own", "cluster": cluster}],
        "users": [{"name": "own", "user": {"tokenFile": f"{_SERVICE_ACCOUNT}/token"}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
    }
    path = home / "kubeconfig"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return str(path)


def helm_environment(home: str) -> dict[str, str]:
    """Our environment without our settings and Helm's: no plugins, its own directories in a private one."""
    kept = {name: value for name, value in child_environment().items() if not name.startswith("HELM_")}
    own = {f"HELM_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")}
    return {**kept, **own, "HELM_NO_PLUGINS": "1", "HELM_PLUGINS": f"{home}/plugins", "NO_COLOR": "1"}


async def run(
    program: str, arguments: Sequence[str], environment: Mapping[str, str], *, deadline_s: float, given: bytes = b""
) -> Ended:
    """How the program ended. It is killed, with whatever it has started, when we stop to wait.

    Errors: `HelmMissingError`, `TimeoutError`.
    """
    path = shutil.which(program, path=environment.get("PATH"))
    if path is None:
        raise HelmMissingError(f"{program} is not installed. Install Helm, or set its path in CNIBOT_CILIUM.")
    try:
        process = await asyncio.create_subprocess_exec(
            *ending_with_us(path, arguments, SIGKILL),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise HelmMissingError(f"{program} cannot be run: {error.strerror}.") from error
    try:
        async with asyncio.timeout(deadline_s):
            return await _ended(process, given)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)  # credential plugins outlive it otherwise, and hold our pipes
            await process.wait()


async def _ended(process: asyncio.subprocess.Process, given: bytes) -> Ended:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with suppress(BrokenPipeError, ConnectionResetError):  # it may end without having read
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    output, complaint = await each((process.stdout, process.stderr), _beginning)
    return Ended(code=await process.wait(), output=output, complaint=complaint)


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """What is printed; of too much, enough to see that it is."""
    said = bytearray()
    while piece := await stream.read(2**16):
        if len(said) <= MAX_OUTPUT:
            said += piece
    return bytes(said)
