"""Every part of the bot, opened in this order and closed in the other: address, store, Slack client, desk, router."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import socket as Socket  # noqa: N812 a class

from bot.domain.report import Report
from bot.incidents.clusters import Clusters, KubeCluster, name_in_force
from bot.incidents.desk import Desk, Limits
from bot.incidents.knowledge import load_knowledge
from bot.incidents.workshop import Workshop, open_workshop
from bot.render.pictures.artist import Artist
from bot.settings import ClusterSettings, Settings, has_kubeconfig
from bot.slack.bolt import build_app
from bot.slack.channels import Channels
from bot.slack.client import open_client
from bot.slack.identity import WhoAmI
from bot.slack.measuring import Measuring
from bot.slack.outbox import Outbox
from bot.slack.people import People
from bot.slack.requests import Requests
from bot.slack.router import Router
from bot.slack.services import Draw, Picture, Services
from bot.slack.socket import SocketMode
from bot.store import open_store
from bot.web.health import Health
from bot.web.server import listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """All parts."""

    settings: Settings
    bound: Socket
    health: Health
    services: Services
    router: Router
    measuring: Measuring
    socket: SocketMode | None
    """None in HTTP mode."""
    requests: Requests | None
    """None in Socket Mode."""

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self.bound.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def open_bot(settings: Settings, stack: AsyncExitStack, clusters: Clusters | None = None) -> Bot:
    """The bot, not running yet; the stack closes it. Errors: `BotError`: what cannot be used."""
    bound = await stack.enter_async_context(listening(settings.http_host, settings.http_port))
    url = settings.secret("redis_url") or None
    store = await stack.enter_async_context(open_store(url, settings.state_dir))
    token, secret = settings.secret("slack_bot_token"), settings.secret("slack_signing_secret")
    client = await stack.enter_async_context(open_client(token, base_url=settings.slack_api_url))
    knowledge = await asyncio.to_thread(load_knowledge, settings.playbooks_dirs)
    gc.collect()
    gc.freeze()  # what lives as long as the bot is not looked through again: half a second in which nobody is answered
    workshop = await stack.enter_async_context(open_workshop(settings.playbooks_dirs, log_level=settings.log_level))
    desk = Desk(store, knowledge, clusters or await _live(settings, workshop), limits_of(settings))
    who_am_i, grants = WhoAmI(client), tuple(each.grant() for each in settings.grants)
    app = build_app(client, signing_secret=secret, inbox=store.inbox, who_am_i=who_am_i)
    socket = None
    if settings.slack_mode == "socket":
        app_token = settings.secret("slack_app_token")
        socket = SocketMode(app, app_token, client=client, connections=settings.slack_connections)
    services = Services(
        client=client,
        who_am_i=who_am_i,
        store=store,
        desk=desk,
        outbox=Outbox(store.outbox, client),
        people=People(client, who_am_i, grants),
        channels=Channels(client),
        grants=grants,
        draw=_draw(settings),
        connections=lambda: _connections(settings, socket),
    )
    return Bot(
        settings=settings,
        bound=bound,
        health=Health(parts={"bot": lambda: "starting"}),
        services=services,
        router=Router(services),
        measuring=Measuring(services),
        socket=socket,
        requests=None if socket else Requests(app, secret),
    )


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


async def _live(settings: Settings, workshop: Workshop) -> Clusters:
    return Clusters(
        [
            KubeCluster(name=name, kubeconfig=it.kubeconfig, context=it.context, workshop=workshop)
            for name, it in (await clusters_of(settings)).items()
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
        bot_namespace=settings.bot_namespace,
        agent_image=settings.agent_image,
    )


def _connections(settings: Settings, socket: SocketMode | None) -> str:
    if socket is None:
        return "requests over HTTP"
    return f"{socket.live_connections} of {settings.slack_connections} connections"
