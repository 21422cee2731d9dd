"""Credential plugins (kubelogin, aws, gke-gcloud-auth-plugin, …): run one, and say what it said when it fails.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import asyncio
import errno
import json
import sys
from collections.abc import Mapping
from typing import Any, cast

from bot.aio.children import child_environment
from bot.aio.each import each
from bot.domain.errors import UnreachableError

PLUGIN_S = 60.0
"""People may have to log in in a browser meanwhile."""
MAX_BYTES = 2**20
"""Of what it prints."""


async def run_plugin(plugin: Mapping[str, Any], *, server: str, deadline_s: float = PLUGIN_S) -> Mapping[str, Any]:
    """The `status` of the ExecCredential that the plugin prints. Errors: `UnreachableError` with what it said."""
    command = str(plugin.get("command", ""))
    try:
        async with asyncio.timeout(deadline_s):
            output, complaint, exit_code = await _run(plugin, command)
    except FileNotFoundError as error:
        hint = str(plugin.get("installHint", "")).strip()
        raise UnreachableError(server, "credentials", f"{command} is not installed. {hint}".strip()) from error
    except TimeoutError as error:
        raise UnreachableError(server, "credentials", f"{command} did not end within {deadline_s:g} s") from error
    except OSError as error:
        raise UnreachableError(server, "credentials", f"{command} cannot be run: {error.strerror}") from error
    if exit_code:
        said = complaint.decode("utf-8", "replace").strip() or f"exit code {exit_code}"
        raise UnreachableError(server, "credentials", f"{command}: {said}")
    return _status(output, command, server)


async def _run(plugin: Mapping[str, Any], command: str) -> tuple[bytes, bytes, int]:
    request = {
        "apiVersion": plugin.get("apiVersion", ""),
        "kind": "ExecCredential",
        "spec": {"interactive": sys.stdin.isatty() and plugin.get("interactiveMode") != "Never"},
    }
    environment = {str(pair["name"]): str(pair["value"]) for pair in plugin.get("env") or ()}
    process = await asyncio.create_subprocess_exec(
        command,
        *(str(argument) for argument in plugin.get("args") or ()),
        env={**child_environment(), **environment, "KUBERNETES_EXEC_INFO": json.dumps(request)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        streams = [stream for stream in (process.stdout, process.stderr) if stream]
        output, complaint = await each(streams, _all_of)
        return output, complaint, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    """All that is printed, as far as it is worth reading: what prints more has gone wrong."""
    said = bytearray()
    while len(said) < MAX_BYTES and (piece := await stream.read(2**16)):
        said += piece
    if len(said) >= MAX_BYTES:
        raise OSError(errno.EFBIG, f"it prints more than {MAX_BYTES >> 20} MiB")
    return bytes(said)


def _status(output: bytes, command: str, server: str) -> Mapping[str, Any]:
    try:
        answer: object = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise UnreachableError(server, "credentials", f"{command} printed something else than JSON") from error
    status = cast("dict[str, Any]", answer).get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict):
        raise UnreachableError(server, "credentials", f"{command} printed no credentials")
    return cast("dict[str, Any]", status)
