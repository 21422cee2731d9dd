"""A generated scenario, played: what sockets see of it, and that taking it back leaves nothing."""

import json
import subprocess
import sys

import pytest

from bot.gym.generated.generate import decoy, scenario
from bot.gym.generated.inject import fingerprint, inject, undo
from bot.gym.generated.lab_names import NAMES, read_names
from bot.gym.generated.oracle import all_work, effect
from bot.gym.generated.run import calm, measure
from bot.gym.generated.scenario import Scenario
from tests.conftest import LabUnderTest

pytestmark = pytest.mark.lab
CNI = "calico-vxlan"


def first(mechanism: str, **wanted: str) -> Scenario:
    """The first of a mechanism in seldon-mesh."""
    draw = decoy if mechanism in {"policy-denies-strangers", "unused-service"} else scenario
    return next(
        one
        for seed in range(3000)
        if (one := draw(seed, CNI)).mechanism == mechanism
        and one.edge.namespace == "seldon-mesh"
        and all(getattr(one, name) == value for name, value in wanted.items())
    )


@pytest.mark.parametrize(
    "one",
    [
        first("nft-rule", place="source veth", selector="pod"),
        first("tunnel-forwarding"),
        first("wrong-target-port"),
        first("link-down"),
    ],
    ids=lambda one: one.mechanism,
)
async def test_a_fault_breaks_a_flow_and_taking_it_back_leaves_nothing(calico_lab: LabUnderTest, one: Scenario) -> None:
    client, namespace = calico_lab.client, one.edge.namespace
    before = await calm(client, namespace)
    clean = await fingerprint(client, namespace)
    names = await read_names(client, one)

    injected = await inject(client, one, names)
    broken = effect(before, await measure(client, namespace))
    await undo(client, injected)

    assert set(names.values) == set(NAMES)
    assert broken is not None
    assert broken.share > 0
    assert await fingerprint(client, namespace) == clean
    assert all_work(await calm(client, namespace))


@pytest.mark.parametrize("mechanism", ["policy-denies-strangers", "unused-service"])
async def test_a_decoy_breaks_nothing(calico_lab: LabUnderTest, mechanism: str) -> None:
    client, one = calico_lab.client, first(mechanism)
    before = await calm(client, one.edge.namespace)

    injected = await inject(client, one, await read_names(client, one))
    found = effect(before, await measure(client, one.edge.namespace))
    await undo(client, injected)

    assert found is None


def test_what_a_seed_does_is_printed_without_a_lab() -> None:
    argv = [sys.executable, "-m", "bot", "lab", "gym", "--explain", "calico-vxlan/17"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    assert said.startswith("# calico-vxlan/17: ")
    assert json.dumps(scenario(17, CNI).edge.namespace)[1:-1] in said
