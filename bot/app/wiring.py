"""Every part of the bot, opened in this order and closed in the other: address, store, Slack, service, router."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import socket as Socket  # noqa: N812 a class
from ssl import SSLContext

from bot.alerts.operator_routes import Route, load_routes
from bot.app.alertmanagers import alertmanagers_of
from bot.app.plans import plan_service
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.report import Report
from bot.incidents.alerting.intake import AlertIntake
from bot.incidents.alerting.reconciling import Reconciler
from bot.incidents.chronicle import chronicle
from bot.incidents.clusters import Clusters, KubeCluster, name_in_force
from bot.incidents.links import Links
from bot.incidents.service import DiagnosisService, Limits
from bot.incidents.worker import IDLE_S, DiagnosisWorker, open_worker
from bot.render.incident_page import page
from bot.render.pictures.artist import Artist
from bot.settings import ClusterSettings, Settings, has_kubeconfig
from bot.slack.bolt import build_app
from bot.slack.channels import Channels
from bot.slack.client import open_client
from bot.slack.gauges import Gauges
from bot.slack.identity import WhoAmI
from bot.slack.outbox import Outbox
from bot.slack.people import People
from bot.slack.requests import Requests
from bot.slack.router import Router
from bot.slack.services import Draw, Picture, Services
from bot.slack.socket import SocketMode
from bot.store import open_store
from bot.store.link_key import link_key
from bot.web.alertmanager import Webhook
from bot.web.health import Health
from bot.web.incident_pages import IncidentPages
from bot.web.server import listening
from bot.web.tls import tls_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """All parts."""

    settings: Settings
    bound: Socket
    """For Slack over HTTP and for Alertmanager."""
    tls: SSLContext | None
    """For that socket; None where it speaks plain HTTP."""
    health_bound: Socket
    health: Health
    services: Services
    router: Router
    gauges: Gauges
    socket: SocketMode | None
    """None in HTTP mode."""
    requests: Requests | None
    """None in Socket Mode."""
    alertmanager: Webhook | None
    """None where no alerts are taken in."""
    incidents: IncidentPages | None
    """None where people do not reach them."""

    @property
    def address(self) -> str:
        """Where others reach it."""
        return _url(self.bound, "https" if self.tls else "http")

    @property
    def health_address(self) -> str:
        """Where health and metrics are."""
        return _url(self.health_bound)


def _url(bound: Socket, scheme: str = "http") -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def open_bot(settings: Settings, stack: AsyncExitStack, clusters: Clusters | None = None) -> Bot:
    """The bot, not running yet; the stack closes it. Errors: `BotError`: what cannot be used."""
    bound = await stack.enter_async_context(listening(settings.http_host, settings.http_port))
    tls = _tls(settings)
    own = listening(settings.health_host, settings.health_port, setting="HEALTH")
    health_bound = await stack.enter_async_context(own)
    url = settings.secret("redis_url") or None
    store = await stack.enter_async_context(open_store(url, settings.state_dir))
    token, secret = settings.secret("slack_bot_token"), settings.secret("slack_signing_secret")
    client = await stack.enter_async_context(open_client(token, base_url=settings.slack_api_url))
    knowledge = await asyncio.to_thread(load_knowledge, settings.playbooks_dirs)
    gc.collect()
    gc.freeze()  # what lives as long as the bot is not looked through again: half a second in which nobody is answered
    has_alerts = settings.takes_alerts or settings.alert_channels or settings.alertmanagers
    idle_s = None if has_alerts else IDLE_S  # alerts do not wait for a process to begin
    opening = open_worker(settings.playbooks_dirs, log_level=settings.log_level, idle_s=idle_s)
    worker = await stack.enter_async_context(opening)
    known = await clusters_of(settings)
    service = DiagnosisService(store, knowledge, clusters or _live(known, worker), limits_of(settings))
    who_am_i, grants = WhoAmI(client), tuple(each.grant() for each in settings.grants)
    extractors = {channel: one.extractor for channel, one in settings.alert_extractors.items()}
    app = build_app(client, signing_secret=secret, inbox=store.inbox, who_am_i=who_am_i, extractors=extractors)
    socket = None
    if settings.slack_mode == "socket":
        app_token = settings.secret("slack_app_token")
        socket = SocketMode(app, app_token, client=client, connections=settings.slack_connections)
    routes = await asyncio.to_thread(_routes, settings, knowledge)
    links = Links(base=settings.public_url, key=await link_key(store.connection)) if settings.public_url else None
    intake, alertmanagers = AlertIntake(store.inbox, service.clusters), alertmanagers_of(settings)
    services = Services(
        client=client,
        who_am_i=who_am_i,
        store=store,
        service=service,
        plans=plan_service(
            settings,
            store,
            {name: one.executor for name, one in known.items()},
            lambda plan, namespace: service.diagnose_namespace(plan.cluster, namespace),
            observed=known,
        ),
        outbox=Outbox(store.outbox, client, quiet_channels=settings.quiet_channels),
        people=People(client, who_am_i, grants),
        channels=Channels(client),
        grants=grants,
        watch_every_s=settings.watch_every_s,
        alert_channel=settings.alert_channel,
        alert_channels=settings.alert_channels,
        alert_extractors=extractors,
        takes_webhook=settings.takes_alerts,
        alert_routes=routes,
        known_issues_channel=settings.known_issues_channel,
        reconciler=Reconciler(alertmanagers=alertmanagers, intake=intake, seen=store.seen_alerts)
        if alertmanagers
        else None,
        links=links,
        quiet_channels=settings.quiet_channels,
        draw=_draw(settings),
        connections=lambda: _connections(settings, socket),
    )

    async def drawn(incident_id: str) -> str:
        found = await chronicle(store, incident_id)
        return await asyncio.to_thread(page, found)

    return Bot(
        settings=settings,
        bound=bound,
        tls=tls,
        health_bound=health_bound,
        health=Health(parts={"bot": lambda: "starting"}),
        services=services,
        router=Router(services),
        gauges=Gauges(services),
        socket=socket,
        requests=None if socket else Requests(app, secret),
        alertmanager=_webhook(settings, intake),
        incidents=IncidentPages(links=links, draw=drawn) if links else None,
    )


def _routes(settings: Settings, knowledge: Knowledge) -> tuple[Route, ...]:
    """The operator's. Errors: `RulesError` with every mistake."""
    if settings.alert_routes is None:
        return ()
    return load_routes(settings.alert_routes, {each.name for each in knowledge.playbooks})


def _webhook(settings: Settings, intake: AlertIntake) -> Webhook | None:
    if not settings.takes_alerts:
        return None
    return Webhook(
        take=intake,
        token=settings.secret("alertmanager_token"),
        hmac_secret=settings.secret("alertmanager_hmac_secret"),
        knows_certificates=settings.alertmanager_client_ca is not None,
    )


def _tls(settings: Settings) -> SSLContext | None:
    if settings.http_tls_cert is None or settings.http_tls_key is None:
        return None
    return tls_context(settings.http_tls_cert, settings.http_tls_key, client_ca=settings.alertmanager_client_ca)


def _draw(settings: Settings) -> Draw:
    """Pictures of a report, by a child process that may take its time and its memory."""
    artist = Artist(settings.state_dir / "pictures")

    async def draw(report: Report) -> Sequence[Picture]:
        drawn = await artist.draw(report)
        return [Picture(name=it.filename, title=it.title, alt_text=it.alt_text, png=it.png) for it in drawn]

    return draw


async def clusters_of(settings: Settings) -> Mapping[str, ClusterSettings]:
    """Those of the settings; where there are none, the one that kubectl or the Pod would use, or the running lab."""
    if settings.clusters:
        return settings.clusters
    kubeconfig = _lab_kubeconfig(settings)
    return {await name_in_force(kubeconfig): ClusterSettings(kubeconfig=kubeconfig)}


def _live(known: Mapping[str, ClusterSettings], worker: DiagnosisWorker) -> Clusters:
    return Clusters(
        [
            KubeCluster(name=name, kubeconfig=it.kubeconfig, context=it.context, worker=worker)
            for name, it in known.items()
        ]
    )


def _lab_kubeconfig(settings: Settings) -> Path | None:
    found = settings.state_dir / "lab" / "kubeconfig"
    return found if not has_kubeconfig() and found.exists() else None


def limits_of(settings: Settings) -> Limits:
    """What the settings say about diagnoses."""
    return Limits(
        max_diagnoses=settings.max_diagnoses,
        timeout_s=settings.timeout_s,
        max_nodes=settings.max_nodes,
        with_trace=settings.trace,
        bot_namespace=settings.bot_namespace,
        agent_image=settings.agent_image,
    )


def _connections(settings: Settings, socket: SocketMode | None) -> str:
    if socket is None:
        return "requests over HTTP"
    return f"{socket.live_connections} of {settings.slack_connections} connections"
