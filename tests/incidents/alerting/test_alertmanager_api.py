"""Alertmanager's API: pairs, answers that are none, and the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.incidents.alerting import alertmanager_api
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi, AlertmanagerError
from tests.incidents.alerting.listing import api, listed, peer
from tests.stories import alertmanager
from tests.stories.alertmanager import needs_alertmanager


async def test_a_pair_is_one() -> None:
    async with (
        peer(listed("A"), listed("B", "suppressed")) as one,
        peer(listed("B"), listed("C")) as other,
    ):
        found = await api(one, other).alerts(receiver="cni.bot")

        assert sorted((each.alert.name, each.is_active) for each in found.alerts) == [
            ("A", True), ("B", True), ("C", True),
        ]  # fmt: skip
        assert found.is_whole
        assert one.asked[0].query["receiver"] == r"cni\.bot", "Alertmanager takes it for a regular expression"


async def test_one_of_a_pair_that_does_not_answer_leaves_the_picture_incomplete() -> None:
    async with peer(listed("A")) as one, peer() as other:
        other.status = 503
        found = await api(one, other).alerts()

    assert [each.alert.name for each in found.alerts] == ["A"]
    assert not found.is_whole


@pytest.mark.parametrize("status", [401, 302, 500])
async def test_who_gives_no_list_is_named(status: int) -> None:
    async with peer() as one:
        one.status = status
        with pytest.raises(AlertmanagerError, match=f"HTTP {status}"):
            await api(one).alerts()
        assert len(one.asked) == 1, "redirects are not followed: they would take the password with them"


async def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager_api, "MOST_BYTES", 1_000)
    async with peer(*(listed("A", pod=f"web-{number}") for number in range(50))) as one:
        with pytest.raises(AlertmanagerError, match="answer"):
            await api(one).alerts()


async def test_who_we_are_goes_along() -> None:
    async with peer() as one:
        await api(one, headers={"Authorization": "Bearer t0ken"}).alerts()
        assert one.asked[0].headers["Authorization"] == "Bearer t0ken"


@needs_alertmanager
async def test_the_real_one(tmp_path: Path) -> None:
    receiver: dict[str, object] = {"webhook_configs": [{"url": "http://127.0.0.1:1/"}]}
    async with alertmanager.running(tmp_path / "am", receiver, ["alertname"]) as manager:
        await manager.fire("KubePodNotReady", namespace="shop", pod="a")
        asked = AlertmanagerApi(name="am", urls=(manager.url,))
        (mine,) = (await asked.alerts(receiver="cnibot")).alerts
        others = (await asked.alerts(receiver="pager")).alerts

    assert mine.alert.labels == {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a"}
    assert mine.is_active
    assert others == ()
