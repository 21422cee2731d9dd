"""A lab that does not answer is a sentence to whoever asked it."""

import socket
from pathlib import Path

import pytest

from bot.lab.cluster.control import LabClient
from bot.lab.errors import LabError


async def test_a_lab_that_does_not_answer_in_time_is_told_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "control.sock"))
        silent.listen()
        with pytest.raises(LabError, match=r"the lab did not answer within 0\.01 s"):
            await LabClient(tmp_path).exec("node-1", ["true"], timeout_s=0.01)
