"""Clusters to test against: one lab per data plane and test process, started when first needed."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer  # pyright: ignore[reportMissingTypeStubs]
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]

from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.errors import NotPermittedError

pytest_plugins = ["tests.redis"]  # fixtures `redis_server` and `store`

settings.register_profile("cnibot", deadline=None)  # speed is for benchmarks: a busy machine proves nothing
settings.register_profile("ci", parent=settings.get_profile("cnibot"), max_examples=25)  # half an hour is for all
settings.load_profile("ci" if os.environ.get("CNIBOT_CI") else "cnibot")


LONG = ("tests/stories/", "tests/architecture/", "tests/lab/", "tests/app/", "tests/incidents/")
"""Where tests start clusters, bots and browsers."""
RARE = re.compile(r"tests/(stories|lab|cluster/test_in_lab).*::.*(flannel|cilium)")
"""Tests in the labs that few use: a lab costs seconds of CPU to make and to end, and some as long as it is there."""


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does: what they have made is removed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones, in random order: what begins last should not be what takes longest."""
    items.sort(
        key=lambda item: next((rank for rank, part in enumerate(LONG) if item.nodeid.startswith(part)), len(LONG))
    )


class ByModule(LoadScopeScheduling):
    """Each module goes to the process that is free first; the tests of a rare lab go to one, which makes it once.

    Scenarios of chaos take so long that each goes by itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/chaos/"):
            return nodeid
        rare = RARE.match(nodeid)
        return rare[2] if rare else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    """How `make test` spreads the tests over processes."""
    return ByModule(config, log)


@dataclass(frozen=True)
class LabUnderTest:
    """A running lab: `kubeconfig` for clients of its API, `client` to look into it and to break it."""

    cni: str
    client: LabClient

    @property
    def kubeconfig(self) -> Path:
        return self.client.kubeconfig


def _start(cni: str, factory: pytest.TempPathFactory, *, workloads: bool = True) -> Iterator[LabUnderTest]:
    directory = factory.mktemp("lab") / cni
    try:
        lab = launch.start(directory, launch.LabOptions(cni=cni, workloads=workloads), attached=True)
    except NotPermittedError as error:
        pytest.skip(str(error))
    try:
        yield LabUnderTest(cni=cni, client=LabClient(directory))
    finally:
        lab.stop()


@pytest.fixture(scope="session")
def calico_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """A calico-vxlan lab for the whole session; tests take `calico_lab`."""
    yield from _start("calico-vxlan", tmp_path_factory)


@pytest.fixture(scope="session")
def flannel_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """A flannel-vxlan lab for the whole session; tests take `flannel_lab`."""
    yield from _start("flannel-vxlan", tmp_path_factory)


@pytest.fixture(scope="session")
def cilium_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """A cilium-tunnel lab for the whole session; tests take `cilium_lab`."""
    yield from _start("cilium-tunnel", tmp_path_factory)


@pytest.fixture
def bare_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """A lab without a CNI, for one test: what is installed in it stays."""
    yield from _start("none", tmp_path_factory)


@pytest.fixture
def kubeadm_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """A lab with flannel in pods and nothing else, for one test: what is migrated stays so."""
    yield from _start("flannel-kubeadm", tmp_path_factory, workloads=False)


@pytest.fixture
def busy_kubeadm_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """The same with the usual pods and policies, which kube-router's rules enforce beside it."""
    yield from _start("flannel-kubeadm", tmp_path_factory)


@pytest.fixture
async def calico_lab(calico_session: LabUnderTest) -> AsyncIterator[LabUnderTest]:
    """A healthy calico-vxlan lab; what the test breaks with `client.break_` is healed after it."""
    yield calico_session
    await calico_session.client.heal()


@pytest.fixture
async def flannel_lab(flannel_session: LabUnderTest) -> AsyncIterator[LabUnderTest]:
    """A healthy flannel-vxlan lab, healed after the test."""
    yield flannel_session
    await flannel_session.client.heal()


@pytest.fixture
async def cilium_lab(cilium_session: LabUnderTest) -> AsyncIterator[LabUnderTest]:
    """A healthy cilium-tunnel lab, healed after the test."""
    yield cilium_session
    await cilium_session.client.heal()


@pytest.fixture(params=["calico_lab", "flannel_lab", "cilium_lab"])
def any_lab(request: pytest.FixtureRequest) -> LabUnderTest:
    """Each data plane in turn."""
    return request.getfixturevalue(request.param)
