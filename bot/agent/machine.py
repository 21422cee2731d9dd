"""Which machine this is: the same files that its kubelet reads for the Node's status."""

from collections.abc import Iterable

from bot.agent.files import read_text
from bot.agent.report import Machine

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_ID = ("etc/machine-id", "var/lib/dbus/machine-id")
_SYSTEM_UUID = (
    "sys/class/dmi/id/product_uuid",
    "proc/device-tree/system-id",
    "proc/device-tree/vm,uuid",
)
_LONGEST = 128


def read_machine(host_root: str) -> Machine:
    """What identifies the machine below `host_root`; "" where nothing says it."""
    return Machine(
        boot_id=_first([_BOOT_ID]),
        machine_id=_first(f"{host_root}/{path}" for path in _MACHINE_ID),
        system_uuid=_first(f"{host_root}/{path}" for path in _SYSTEM_UUID),
    )


def _first(paths: Iterable[str]) -> str:
    for path in paths:
        try:
            return read_text(path, _LONGEST).strip("\0\n ")
        except OSError:
            continue
    return ""
