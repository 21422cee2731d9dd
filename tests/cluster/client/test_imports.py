"""What only connecting loads."""

import subprocess
import sys

LOADED = "import sys; loaded = {name for name in sys.modules if name.split('.')[0] in ('kubernetes', 'aiohttp')}; "


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_judging_loads_neither_the_client_nor_http():
    names = ("access.ladder", "access.exec_rung", "access.node_agents", "cni.detect", "snapshot.snapshot")
    modules = ", ".join(f"bot.cluster.{name}" for name in names)

    assert run(f"import {modules}; {LOADED} print(sorted(loaded))") == "[]"
