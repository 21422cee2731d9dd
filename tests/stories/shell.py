"""The command line as a person uses it, against a lab."""

import os
import subprocess
import sys

from tests.conftest import LabUnderTest

Finished = subprocess.CompletedProcess[str]


def cnibot(lab: LabUnderTest, *argv: str, env: dict[str, str] | None = None) -> Finished:
    """Run `cnibot ARGV…` to its end."""
    environment = {**os.environ, "KUBECONFIG": str(lab.kubeconfig), "COLUMNS": "120", **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "bot", *argv], capture_output=True, text=True, timeout=90, env=environment, check=False
    )
