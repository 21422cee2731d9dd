"""What connecting loads, and what everything else does not."""

import subprocess
import sys

LOADED = "import sys; loaded = {name for name in sys.modules if name.split('.')[0] in ('kubernetes', 'aiohttp')}; "


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CONNECT = """
from bot.cluster.lean import without_package_code
with without_package_code():
    import bot.cluster.transport
"""


def test_judging_loads_neither_the_client_nor_http():
    modules = ", ".join(f"bot.cluster.{name}" for name in ("access", "cni", "exec_rung", "node_agents", "snapshot"))

    assert run(f"import {modules}; {LOADED} print(sorted(loaded))") == "[]"


def test_connecting_loads_neither_models_nor_the_synchronous_client():
    unwanted = "('requests', 'kubernetes.client', 'kubernetes.aio.client.models.v1_pod', 'kubernetes.aio.watch')"

    assert run(f"{CONNECT}import sys; print([name for name in {unwanted} if name in sys.modules])") == "[]"


def test_whoever_imports_the_client_afterwards_gets_all_of_it():
    use = "import kubernetes, kubernetes.aio.watch; print(kubernetes.client.V1Pod, kubernetes.aio.watch.Watch)"

    assert "V1Pod" in run(f"{CONNECT}{use}")


def test_whoever_imported_the_client_before_keeps_it():
    same = "import kubernetes; print(kubernetes is before)"

    assert run(f"import kubernetes; before = kubernetes{CONNECT}{same}") == "True"
