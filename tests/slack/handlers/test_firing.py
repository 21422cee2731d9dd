"""Alerts from the webhook to the thread: what is diagnosed, what joins, what is said."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.alerts.operator_routes import load_routes
from bot.domain.incident import Incident
from bot.incidents.alerting.intake import Accepted, AlertIntake
from bot.incidents.alerting.quiet import AGAIN_S, QUIET_S
from bot.incidents.alerting.storms import STORM_SCOPES
from bot.lab.slack.message import Message
from bot.schedule import Schedule
from bot.slack.router import Router
from tests.probes.build import two_nodes
from tests.recorded_cluster import knowledge
from tests.slack.handlers.conftest import HERE, Opened, Rig, healthy, recorded
from tests.slack.handlers.test_watching import Clock

STARTED = "2026-11-29T23:31:02.113Z"


def alert(name: str, status: str = "firing", /, starts_at: str = STARTED, **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"severity": "warning", **labels, "alertname": name},
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-29T23:45:00Z",
    }


async def send(rig: Rig, *alerts: dict[str, Any]) -> Accepted:
    """As Alertmanager does."""
    intake = AlertIntake(rig.store.inbox, rig.services.service.clusters)
    return await intake(json.dumps({"version": "4", "alerts": alerts}).encode(), None)


async def sent(rig: Rig, *alerts: dict[str, Any]) -> None:
    """And everything that follows."""
    await send(rig, *alerts)
    await rig.quiet()


def ready(pod: str, status: str = "firing", **labels: str) -> dict[str, Any]:
    return alert("KubePodNotReady", status, namespace="shop", pod=pod, job="kube-state-metrics", **labels)


async def only(rig: Rig) -> Incident:
    (incident,) = await rig.store.incidents.open_ones()
    return incident


def thread(rig: Rig) -> list[Message]:
    (root,) = rig.roots()
    return rig.ws.thread(HERE, root.ts)


def card(rig: Rig) -> str:
    """The message about alerts in the only thread."""
    (found,) = [each for each in thread(rig) if "firing," in each.text]
    return found.text


async def test_an_alert_is_diagnosed_in_a_thread_of_its_own(rig: Rig) -> None:
    await sent(rig, ready("a"))

    (root,) = rig.roots()
    assert "BROKEN" in root.text
    assert "an alert" in root.text
    assert "proxy ARP" in (await rig.verdict(root.ts)).text
    assert "It is likely the network" in card(rig)
    assert "KubePodNotReady" in card(rig)
    assert "`pod shop/a`" in card(rig)
    assert (await only(rig)).opened_by == "alert"


async def test_a_run_that_somebody_asks_for_brings_the_message_about_alerts_up_to_date(rig: Rig) -> None:
    """Else it says for ever that it is the network."""
    await sent(rig, ready("a"))
    (root,) = rig.roots()
    verdict = await rig.verdict(root.ts)
    rig.recordings["shop"] = healthy()

    await rig.alice.click(HERE, verdict.ts, "cni_rerun")
    await rig.verdict(root.ts, count=2)
    await rig.quiet()

    assert "The network works again*, but alerts still fire" in card(rig)


async def test_a_fault_that_hits_others_is_not_said_to_be_the_reason(rig: Rig) -> None:
    await sent(rig, ready("b"))

    assert "A network fault was found, but it does not explain* this alert." in card(rig)
    assert "It is" not in card(rig)


async def test_a_healthy_network_is_said_to_be_innocent_and_the_incident_waits_for_the_alert(rig: Rig) -> None:
    await sent(rig, alert("KubePodCrashLooping", namespace="payments", pod="web"))

    assert "Not the network" in card(rig)
    assert (await only(rig)).status == "healthy"

    await sent(rig, alert("KubePodCrashLooping", "resolved", namespace="payments", pod="web"))
    assert "*Ended* after" in card(rig)
    assert (await only(rig)).run == 1  # nothing was wrong: there is nothing to verify


async def test_repeats_and_the_second_of_a_pair_change_nothing(rig: Rig) -> None:
    assert await send(rig, ready("a"), ready("b")) == Accepted(new=2, known=0)
    assert await send(rig, ready("b"), ready("a")) == Accepted(new=0, known=2)
    await rig.quiet()

    assert "2 firing, 0 ended" in card(rig)
    assert (await only(rig)).run == 1


async def test_further_alerts_of_the_same_scope_join_without_another_diagnosis(rig: Rig) -> None:
    await sent(rig, ready("a"))
    await sent(rig, *(ready(f"web-{number}") for number in range(20)))

    assert "21 firing" in card(rig)
    assert "and 18 more" in card(rig)
    assert (await only(rig)).run == 1
    assert len(rig.roots()) == 1


@pytest.mark.parametrize(
    "other",
    [
        ready("b", severity="critical"),
        alert("KubePodCrashLooping", namespace="shop", pod="b"),
    ],
    ids=["a severity", "a name"],
)
async def test_what_is_new_about_an_alert_breaks_the_pause(rig: Rig, other: dict[str, Any]) -> None:
    await sent(rig, ready("a"))
    await sent(rig, other)

    assert (await only(rig)).run == 2


async def test_two_at_the_same_moment_are_one_diagnosis(rig: Rig) -> None:
    rig.gate.shut()
    await send(rig, ready("a"), alert("KubePodCrashLooping", namespace="shop", pod="b"))
    await rig.ws.until(lambda: rig.gate.waiting)
    await send(rig, alert("KubeDeploymentReplicasMismatch", namespace="shop", deployment="web"))
    await rig.ws.until(lambda: any("3 firing" in each.text for each in rig.ws.everything(HERE)))
    rig.gate.open()
    await rig.quiet()

    assert (await only(rig)).run == 1
    assert "3 firing" in card(rig)


async def test_the_end_of_all_alerts_is_verified_and_closes_the_incident(rig: Rig) -> None:
    await sent(rig, ready("a"), ready("b"))
    await sent(rig, ready("b", "resolved"))
    assert "1 firing, 1 ended" in card(rig)
    assert (await only(rig)).run == 1

    rig.recordings["shop"] = healthy()
    await sent(rig, ready("a", "resolved"))

    (root,) = rig.roots()
    assert "HEALTHY" in (await rig.verdict(root.ts, count=2)).text
    assert "0 firing, 2 ended" in card(rig)
    assert "It was: Proxy ARP is off" in card(rig)
    assert "Checked again" in card(rig)
    assert (await only(rig)).status == "healthy"


async def test_alerts_that_end_while_they_are_diagnosed_are_verified_too(rig: Rig) -> None:
    rig.gate.shut()
    await send(rig, ready("a"))
    await rig.ws.until(lambda: rig.gate.waiting)
    await send(rig, ready("a", "resolved"))
    await rig.ws.until(lambda: any("1 ended" in each.text for each in rig.ws.everything(HERE)))
    rig.gate.open()
    await rig.quiet()

    assert (await only(rig)).run == 2


async def test_an_alert_that_goes_on_after_it_ended_is_new_with_the_old_start(rig: Rig) -> None:
    """Prometheus restores the start of its alerts after an outage of its own."""
    for status in ("firing", "resolved", "firing", "resolved", "firing"):
        assert (await send(rig, ready("a", status))).new == 1
        await rig.quiet()

    assert "3 times: flapping" in card(rig)


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


async def pass_time(rig: Rig, clock: Clock, seconds: float) -> None:
    """Until the clock looks for incidents again; all that comes of it."""
    clock.at = max(clock.at, time.time()) + seconds  # what the bot wrote so far has real times
    rig.services = dataclasses.replace(rig.services, now=clock)
    rig.router = Router(rig.services)
    await Schedule(rig.store, every_s=600, now=clock).tick_alerts()
    await rig.quiet()


async def test_after_a_quiet_period_the_incident_is_closed(rig: Rig, clock: Clock) -> None:
    await sent(rig, ready("a"))
    rig.recordings["shop"] = healthy()
    await sent(rig, ready("a", "resolved"))
    await pass_time(rig, clock, 1)
    assert (await only(rig)).status == "healthy"

    await pass_time(rig, clock, QUIET_S + 300)
    assert await rig.store.incidents.open_ones() == ()
    assert "this incident is closed" in thread(rig)[-1].text


async def test_an_alert_that_comes_again_within_it_is_the_same_incident(rig: Rig, clock: Clock) -> None:
    await sent(rig, ready("a"))
    rig.recordings["shop"] = healthy()
    await sent(rig, ready("a", "resolved"))
    await sent(rig, ready("a", starts_at="2026-11-29T23:50:00Z"))
    await pass_time(rig, clock, 10 * QUIET_S)

    assert (await only(rig)).id
    assert "The network works again" in card(rig)
    assert len(rig.roots()) == 1


async def test_what_alertmanager_says_is_over_and_is_not_stays_open_and_is_looked_at_again(
    rig: Rig, clock: Clock
) -> None:
    await sent(rig, ready("a"))
    await sent(rig, ready("a", "resolved"))
    assert "Alertmanager says resolved, cnibot does not" in card(rig)
    assert (await only(rig)).run == 2

    rig.recordings["shop"] = healthy()
    await pass_time(rig, clock, AGAIN_S + 300)
    assert "Checked again" in card(rig)
    await pass_time(rig, clock, AGAIN_S + QUIET_S + 300)
    assert await rig.store.incidents.open_ones() == ()


async def test_alerts_that_a_verdict_explains_join_it_whatever_their_scope(rig: Rig) -> None:
    """A node's alert, when pods of that node are known to be cut off."""
    await sent(rig, ready("a"))
    await sent(rig, alert("KubeNodeNotReady", node="node-1"))

    incident = await only(rig)
    assert (incident.namespace, incident.node, incident.run) == ("shop", None, 1)
    assert "2 firing" in card(rig)


async def test_alerts_that_it_does_not_explain_do_not(rig: Rig) -> None:
    rig.recordings["kube-system"] = healthy()
    await sent(rig, ready("a"))
    await sent(rig, alert("KubeNodeNotReady", node="node-2"))

    assert {(each.namespace, each.node) for each in await rig.store.incidents.open_ones()} == {
        ("shop", None),
        ("kube-system", "node-2"),
    }


async def test_a_storm_is_one_sweep(rig: Rig) -> None:
    """Not a diagnosis, a thread and a line in the channel for each namespace."""
    for number in range(30):
        rig.recordings[f"team-{number}"] = healthy()
    rig.recordings["kube-system"] = rig.recordings["shop"]
    await sent(rig, *(alert("KubePodNotReady", namespace=f"team-{n}", pod=f"web-{n}") for n in range(30)))

    incidents = await rig.store.incidents.open_ones()
    sweeps = [each for each in incidents if each.node == "*"]
    assert len(incidents) == STORM_SCOPES + 1
    assert len(rig.roots()) == STORM_SCOPES + 1
    (sweep,) = sweeps
    assert len((await rig.store.alerts.of(sweep.id)).alerts) == 30 - STORM_SCOPES
    assert sweep.run == 1


async def test_a_rule_that_has_nothing_to_measure_here_is_called_so(rig: Rig) -> None:
    state, *_ = two_nodes()
    for name, node in state.nodes.items():
        info = msgspec.structs.replace(node.status.node_info, kubelet_version="v1.33.1+k3s1")
        state.nodes[name] = msgspec.structs.replace(node, status=msgspec.structs.replace(node.status, node_info=info))
    rig.recordings.clear()
    rig.recordings["kube-system"] = recorded(state)
    await sent(rig, alert("KubeProxyDown", job="kube-proxy"))

    (said,) = rig.roots()
    assert "*The rule does not apply here.*" in said.text
    assert "K3s runs kube-proxy inside its own process" in said.text
    assert await rig.store.incidents.open_ones() == ()


async def test_where_nothing_does_its_work_the_absence_of_kube_proxy_is_diagnosed(rig: Rig) -> None:
    rig.recordings["kube-system"] = rig.recordings["shop"]
    await sent(rig, alert("KubeProxyDown", job="kube-proxy"))

    assert (await only(rig)).node == "*"


async def test_nobody_knew_what_ended(rig: Rig) -> None:
    await sent(rig, ready("a", "resolved"))

    assert rig.roots() == []


async def test_silent_alerts_are_left_alone(rig: Rig) -> None:
    await sent(rig, alert("Watchdog", severity="none"), alert("InfoInhibitor", namespace="shop"))

    assert rig.roots() == []


async def test_a_node_is_looked_at_from_where_dns_runs(rig: Rig) -> None:
    rig.recordings["kube-system"] = rig.recordings["shop"]
    await sent(rig, alert("KubeNodeNotReady", node="node-1"))

    incident = await only(rig)
    assert (incident.namespace, incident.node) == ("kube-system", "node-1")
    assert "node `node-1`" in rig.roots()[0].text
    assert "It is likely the network" in card(rig)


async def test_an_alert_about_everything_is_held_against_nothing(rig: Rig) -> None:
    rig.recordings["kube-system"] = rig.recordings["shop"]
    await sent(rig, alert("KubeAPIErrorBudgetBurn"))

    assert (await only(rig)).node == "*"
    assert "all nodes" in rig.roots()[0].text
    assert "names nothing to compare it with" in card(rig)


async def test_what_the_cluster_does_not_have_is_said_once_a_day(rig: Rig) -> None:
    for number in range(3):
        await sent(rig, alert("ProbeFailed", instance=f"https://shop-{number}.example.com/"))

    (said,) = rig.roots()
    assert "names `address shop-0.example.com`, which this cluster does not have" in said.text


async def test_a_namespace_that_is_gone_is_said_once_and_not_diagnosed(rig: Rig) -> None:
    await sent(rig, *(alert("KubePodNotReady", namespace="deleted", pod=f"web-{number}") for number in range(5)))

    (said,) = rig.roots()
    assert "names `pod deleted/web-" in said.text
    assert "which this cluster does not have" in said.text
    assert await rig.store.incidents.open_ones() == ()


async def test_the_channel_of_another_organisation_hears_nothing(rig: Rig) -> None:
    rig.ws.admin.share("incidents")
    await rig.heard("channel_shared")
    await sent(rig, ready("a"))

    assert rig.roots() == []
    assert await send(rig, ready("a")) == Accepted(new=1, known=0)  # its repetition is heard when that has changed


@pytest.mark.parametrize("trouble", ["rate_limit", "server_error"])
async def test_an_alert_waits_until_slack_says_what_the_channel_is(rig: Rig, trouble: str) -> None:
    """It was accepted, and Alertmanager repeats it in hours."""
    getattr(rig.ws.faults, trouble)("conversations.info", 3)

    await sent(rig, ready("a"))

    assert len(rig.roots()) == 1
    assert (await only(rig)).status == "broken"


async def test_labels_ping_nobody(rig: Rig) -> None:
    await sent(rig, alert("<!channel> *bold*", namespace="shop", pod="<@U0ALICE>"))

    assert "<!channel>" not in card(rig)
    assert "<@U0ALICE>" not in card(rig)


async def test_of_several_clusters_a_label_says_which(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("eu", "us"))
    await sent(rig, ready("a", cluster="US"), alert("Other", namespace="shop"))

    assert (await only(rig)).cluster == "us"


async def test_a_killed_bot_ends_what_it_began(open_rig: Opened) -> None:
    """The entry is handled again, by another process."""
    rig = await open_rig(at_work=False)
    await send(rig, ready("a"))
    (entry,) = await taken(rig)
    await rig.router.handle(entry)
    await rig.router.handle(entry)
    await rig.services.outbox.drained(10)

    assert (await only(rig)).run == 1
    assert len([each for each in thread(rig) if "cni_details" in each.action_ids]) == 1
    assert "1 firing, 0 ended" in card(rig)


async def taken(rig: Rig) -> list[Any]:
    """What waits in the inbox, as the worker would hand it out."""
    import asyncio  # noqa: PLC0415

    found: list[Any] = []
    stop = asyncio.Event()

    async def keep(entry: Any) -> None:
        found.append(entry)
        stop.set()

    await rig.store.inbox.work(keep, stopping=stop)
    return found


async def test_a_route_of_the_operators_holds_for_the_whole_incident(rig: Rig, tmp_path: Path) -> None:
    """Scope, severity and playbook; at each diagnosis, and at the end of the alert."""
    file = tmp_path / "routes.yaml"
    file.write_text(
        "routes:\n"
        "  - matchers: ['alertname=\"CheckoutSlow\"']\n"
        "    scope: {namespace: '{team}', pod: '{unit}'}\n"
        "    severity: critical\n"
        "    playbook: pod-arp-table\n"
        "  - matchers: ['alertname=\"Noise\"']\n"
        "    ignore: it is noise\n"
    )
    names = {each.name for each in knowledge().playbooks}
    rig.services = dataclasses.replace(rig.services, alert_routes=load_routes(file, names))
    rig.router = Router(rig.services)
    slow = {"team": "shop", "unit": "a"}
    await sent(rig, alert("Noise", namespace="shop"), alert("CheckoutSlow", **slow))

    incident = await only(rig)
    report = await rig.services.service.report(incident.id, 1)
    assert report is not None
    assert {finding.probe for finding in report.findings} == {"pod-arp-table", "pod-link", "pod-sandbox"}
    assert "*CheckoutSlow* (critical) `pod shop/a`" in card(rig)

    await sent(rig, alert("CheckoutSlow", "resolved", **slow))
    assert (await only(rig)).run == 2
    report = await rig.services.service.report(incident.id, 2)
    assert report is not None
    assert {finding.probe for finding in report.findings} == {"pod-arp-table", "pod-link", "pod-sandbox"}
    assert "*CheckoutSlow* (critical) `pod shop/a` ended" in card(rig)
