"""The node's files that decide about pod networking: CNI configuration, plugin binaries, sysctl settings.

Read below `root`, the node's file system as the agent sees it. A folder that is not there is no error: looked, none.
"""

import contextlib
import json
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from bot.agent.files import SMALL_BYTES, read_foreign_text
from bot.agent.report import CniFile

CONF_FOLDERS = (
    "etc/cni/net.d",
    "var/lib/rancher/k3s/agent/etc/cni/net.d",
    "var/lib/rancher/rke2/agent/etc/cni/net.d",
    "var/snap/microk8s/current/args/cni-network",
)
BINARY_FOLDERS = (
    "opt/cni/bin",
    "usr/libexec/cni",
    "usr/lib/cni",
    "var/lib/rancher/k3s/data/cni",
    "var/lib/rancher/k3s/data/current/bin",
)
SYSCTL_FILES = ("etc/sysctl.conf",)
SYSCTL_FOLDERS = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")
FILES_LIMIT = 64
NAMES_LIMIT = 200
LINES_LIMIT = 200
LINE_LENGTH = 300
CONF_SUFFIXES = frozenset({".conf", ".conflist", ".json"})
CREDENTIALS = r"token|password|secret|client-key-data|client-certificate-data|certificate-authority-data"
SECRET = re.compile(rf'("?(?:{CREDENTIALS})"?\s*[:=]\s*)("[^"]*"|\S+)', re.IGNORECASE)
TOKEN = re.compile(r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+")
SETTING = re.compile(
    r"^\s*-?\s*(net[./]\S*(?:forward|rp_filter|proxy_arp|proxy_delay|arp_ignore|arp_filter|arp_announce"
    r"|route_localnet|accept_local|bridge-nf-call|nf_conntrack_max|gc_thresh|disable_ipv6)\S*)\s*=\s*(\S.*)$"
)


def read_cni_files(root: str) -> tuple[CniFile, ...]:
    """CNI configurations of all known places, secrets replaced, in the order in which a runtime reads them."""
    found: list[CniFile] = []
    for folder in CONF_FOLDERS:
        for path in _files(Path(root) / folder):
            if path.suffix in CONF_SUFFIXES and len(found) < FILES_LIMIT:
                with contextlib.suppress(OSError):
                    found.append(_cni_file(path, root))
    return tuple(found)


def read_cni_binaries(root: str) -> tuple[str, ...]:
    """Paths of executable files in the plugins' folders."""
    found: list[str] = []
    for folder in BINARY_FOLDERS:
        for path in _files(Path(root) / folder):
            with contextlib.suppress(OSError):
                if path.stat().st_mode & stat.S_IXUSR:
                    found.append(_shown(path, root))
    return tuple(found[:NAMES_LIMIT])


def read_sysctl_files(root: str) -> tuple[str, ...]:
    """Settings of sysctl files that concern forwarding, as "path: key = value"; those that others override too."""
    paths = [Path(root) / name for name in SYSCTL_FILES]
    for folder in SYSCTL_FOLDERS:
        paths += [path for path in _files(Path(root) / folder) if path.suffix == ".conf"]
    found: list[str] = []
    for path in paths:
        with contextlib.suppress(OSError):
            found += [f"{_shown(path, root)}: {line}" for line in sysctl_settings(_text(path))]
    return tuple(found[:LINES_LIMIT])


def sysctl_settings(text: str) -> Iterator[str]:
    """The lines of a sysctl file that matter here, as "key = value"."""
    for line in text.splitlines():
        if match := SETTING.match(line[:LINE_LENGTH]):
            yield f"{match[1].replace('/', '.')} = {match[2].strip()}"


def without_secrets(text: str) -> str:
    """The text with values replaced that look like credentials."""
    return TOKEN.sub("<redacted>", SECRET.sub(r'\1"<redacted>"', text))


def plugin_types(text: str) -> tuple[str, ...]:
    """The plugins that a configuration names: of a list in order, else the one; IPAM plugins after their own."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    document = _dict(value)
    plugins = document.get("plugins")
    parts = cast("list[object]", plugins) if isinstance(plugins, list) else [document]
    found: list[str] = []
    for part in parts[:32]:
        for holder in (_dict(part), _dict(_dict(part).get("ipam"))):
            kind = holder.get("type")
            if isinstance(kind, str):
                found.append(kind[:64])
    return tuple(found)


def _cni_file(path: Path, root: str) -> CniFile:
    text = _text(path)
    return CniFile(
        path=_shown(path, root),
        text=without_secrets(text),
        plugins=plugin_types(text),
        age_s=round(max(0.0, time.time() - path.stat().st_mtime), 1),
    )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:NAMES_LIMIT]
    except OSError:
        return []


def _text(path: Path) -> str:
    """A link is not followed: below another root it would lead into the agent's own file system."""
    return read_foreign_text(str(path), SMALL_BYTES)


def _shown(path: Path, root: str) -> str:
    return "/" + str(path.relative_to(root))


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
