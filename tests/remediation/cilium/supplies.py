"""A vendored chart and a `helm`, as an operator would give them to cnibot."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.remediation.cilium.chart import VendoredChart

CHART = Path(__file__).parent / "chart"


def helm_program(directory: Path) -> Path:
    """A program that does what `helm` does, by Helm's library."""
    script = directory / "helm"
    command = Path(__file__).parent / "helm_command.py"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
    script.chmod(0o755)
    return script


def vendored(directory: Path) -> VendoredChart:
    """The archive of the chart, and the digest of what it holds."""
    helm: Any = pytest.importorskip("helm_python", reason="no wheel of Helm's library for this platform")
    archive = Path(helm.package(CHART, destination=directory))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return VendoredChart(archive=archive, sha256=digest, helm=str(helm_program(directory)))
