"""Fixtures of the API server's tests."""

from pathlib import Path

import pytest

from bot.lab.cluster.apiserver.pki import Pki


@pytest.fixture(scope="session")
def pki_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys that all tests share: making them anew each time would only take time."""
    return Pki.create(tmp_path_factory.mktemp("pki")).directory
