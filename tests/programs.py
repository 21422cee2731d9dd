"""Programs that tests start."""

import shutil
import signal


def ending_with_us(*command: str, by: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command, such that the kernel ends it with whoever starts it: after kill -9 nobody else would.

    As it is where util-linux is not installed.
    """
    guard = shutil.which("setpriv")
    return [*([guard, "--pdeathsig", by.name.removeprefix("SIG"), "--"] if guard else []), *command]
