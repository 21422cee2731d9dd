"""What works and what does not: everything that the bot needs, tried one by one, with what to do about it."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence

from bot.aio.each import each
from bot.alerts.operator_routes import Route, load_routes
from bot.app.alertmanagers import alertmanagers_of
from bot.app.wiring import clusters_of
from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from bot.cluster.access.checks import cluster_checks
from bot.cluster.snapshot.scope import SNAPSHOT_NEEDS
from bot.diagnosis.knowledge import load_knowledge
from bot.domain.checks import Check
from bot.domain.errors import BotError
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi
from bot.probes.catalogue import PROBES
from bot.rules.problems import RulesError
from bot.settings import ClusterSettings, Settings
from bot.slack.channels import Channels
from bot.slack.client import open_client
from bot.slack.startup import verify
from bot.store import Store, StoreInUseError, open_store

TRY_S = 30.0
_OWN_SERVER = "Without CNIBOT_REDIS_URL the bot runs its own Redis server, which stores everything."
_ASK_AGAIN = (
    "Fix what Slack names (invite the bot, unarchive the channel) and run the diagnosis again. Dropped "
    "messages are not re-sent; this warning clears after 30 days without another."
)
_SETTINGS = "Fix the setting: docs/reference/settings.md explains each one."


async def installation_checks(settings: Settings) -> list[Check]:
    """Every check, in the order in which things build on each other. Never raises for what is wrong around cnibot."""
    parts: Sequence[Callable[[Settings], Awaitable[list[Check]]]] = (
        _rules,
        image,
        _store,
        _slack,
        _grants,
        _alerts,
        alertmanagers,
        _clusters,
    )

    async def one(part: Callable[[Settings], Awaitable[list[Check]]]) -> list[Check]:
        name = part.__name__.strip("_").capitalize()
        try:
            async with asyncio.timeout(TRY_S):
                return await part(settings)
        except BotError as error:
            return [Check(name=name, state="failed", problem=str(error), remedy=_SETTINGS)]
        except TimeoutError:
            problem = f"No answer within {TRY_S:g} s."
            return [Check(name=name, state="failed", problem=problem, remedy="Try again later.", may_pass=True)]

    return [check for checks in await each(parts, one) for check in checks]


async def _rules(settings: Settings) -> list[Check]:
    name = "Playbooks"
    if missing := [str(path) for path in settings.playbooks_dirs if not path.is_dir()]:
        problem = f"There is no directory {', '.join(missing)}."
        return [Check(name=name, state="failed", problem=problem, remedy="Correct CNIBOT_PLAYBOOKS_DIRS.")]
    try:
        knowledge = await asyncio.to_thread(load_knowledge, settings.playbooks_dirs)
    except RulesError as error:
        remedy = "cnibot playbooks check shows each mistake with file and line."
        return [Check(name=name, state="failed", problem=str(error), remedy=remedy)]
    counts = (
        f"{len(knowledge.playbooks)} playbooks, {len(knowledge.causes)} causes, "
        f"{len(knowledge.known_issues)} known issues"
    )
    return [Check(name=name, says=counts)]


async def image(settings: Settings) -> list[Check]:
    """Whether what runs as root on nodes is known by its content."""
    name = "Agent image"
    if settings.is_agent_image_pinned:
        return [Check(name=name, says=settings.agent_image)]
    problem = (
        f"{settings.agent_image or DEFAULT_IMAGE} is named by a tag: anyone who can move the tag is root on every node."
    )
    remedy = "Set CNIBOT_AGENT_IMAGE to the image with its digest (…@sha256:…), and CNIBOT_ONLY_PINNED_IMAGES."
    return [Check(name=name, state="warning", problem=problem, remedy=remedy)]


async def _store(settings: Settings) -> list[Check]:
    name = "Store"
    try:
        async with open_store(settings.secret("redis_url") or None, settings.state_dir) as store:
            await store.ping()
            risks, given_up = " ".join(store.warnings), await _given_up(store)
            problem = " ".join(filter(None, (risks, given_up)))
            remedy = " ".join(filter(None, (risks and _OWN_SERVER, given_up and _ASK_AGAIN)))
            state = "warning" if problem else "ok"
            return [Check(name=name, state=state, says=store.where, problem=problem, remedy=remedy)]
    except StoreInUseError as error:
        running = f"in use by process {error.pid}" if error.pid else "in use"
        return [Check(name=name, says=f"{settings.state_dir}, {running}: the bot runs")]
    except BotError as error:
        remedy = "Check CNIBOT_REDIS_URL, or leave it empty to let the bot run its own server."
        return [Check(name=name, state="failed", problem=str(error), remedy=remedy, may_pass=True)]


async def _given_up(store: Store) -> str:
    """How many messages Slack never took, and why not the newest; "" when none was given up."""
    dead, count = await store.outbox.dead(limit=1), (await store.outbox.state()).dead
    if not dead:
        return ""
    newest, at = dead[0], dt.datetime.fromtimestamp(dead[0].at, dt.UTC)
    were = "1 message to Slack was" if count == 1 else f"{count} messages to Slack were"
    return f"{were} given up, the newest, to {newest.channel}, at {at:%Y-%m-%d %H:%M} UTC: {newest.reason}."


async def _slack(settings: Settings) -> list[Check]:
    token = settings.secret("slack_bot_token")
    if not token and not settings.secret("slack_app_token") and not settings.secret("slack_signing_secret"):
        problem = "It is not configured: cnibot diagnose works, cnibot serve does not."
        return [Check(name="Slack", state="warning", problem=problem, remedy="docs/slack.md explains how.")]
    async with open_client(token, base_url=settings.slack_api_url) as client:
        return await verify(
            client,
            mode=settings.slack_mode,
            app_token=settings.secret("slack_app_token"),
            signing_secret=settings.secret("slack_signing_secret"),
        )


async def _grants(settings: Settings) -> list[Check]:
    if not any(grant.users or grant.groups for grant in settings.grants):
        remedy = "Set CNIBOT_GRANTS: docs/slack.md has examples."
        return [Check(name="Grants", state="warning", problem="Nobody in Slack may do anything.", remedy=remedy)]
    return [Check(name="Grants", says=f"{len(settings.grants)} in force")]


async def _alerts(settings: Settings) -> list[Check]:
    """Whether your routes load, and whether alerts can be posted where they belong."""
    if not (settings.takes_alerts or settings.alert_channels or settings.alert_routes):
        return []
    try:
        routes = await asyncio.to_thread(_routes, settings)
    except RulesError as error:
        remedy = "cnibot alerts check shows each mistake with file and line."
        return [Check(name="Alerts", state="failed", problem=str(error), remedy=remedy)]
    wanted = {settings.alert_channel, *settings.alert_channels, *(route.channel for route in routes)} - {""}
    token = settings.secret("slack_bot_token")
    if not token:
        return [Check(name="Alerts", state="warning", problem="Without a bot token they cannot be posted.")]
    async with open_client(token, base_url=settings.slack_api_url) as client:
        channels = [await Channels(client).channel(name) for name in sorted(wanted)]
    mute = [one.id for one in channels if one.is_member is not True or one.is_external is not False or one.is_archived]
    if mute:
        problem = f"Alerts cannot be posted in {', '.join(mute)}: not invited, shared with others, or archived."
        return [Check(name="Alerts", state="warning", problem=problem, remedy="Invite @cni to the channel.")]
    return [Check(name="Alerts", says=f"{len(routes)} routes, posted in {', '.join(sorted(wanted))}")]


async def alertmanagers(settings: Settings) -> list[Check]:
    """Whether the API of each answers, and all its peers."""
    return await each(await asyncio.to_thread(alertmanagers_of, settings), _alertmanager)


async def _alertmanager(api: AlertmanagerApi) -> Check:
    name = f"Alertmanager {api.name}"
    try:
        found = await api.alerts(receiver=api.receiver)
    except BotError as error:
        remedy = "Correct CNIBOT_ALERTMANAGERS, or leave it out: alerts come by the webhook, too."
        return Check(name=name, state="failed", problem=str(error), remedy=remedy, may_pass=True)
    if not found.is_whole:
        remedy = "Until it answers, no alert ends by the poll."
        return Check(name=name, state="warning", problem="One of its peers does not answer.", remedy=remedy)
    return Check(name=name, says=f"{len(found.alerts)} alerts for the receiver {api.receiver}")


def _routes(settings: Settings) -> tuple[Route, ...]:
    if settings.alert_routes is None:
        return ()
    knowledge = load_knowledge(settings.playbooks_dirs)
    return load_routes(settings.alert_routes, {each.name for each in knowledge.playbooks})


async def _clusters(settings: Settings) -> list[Check]:
    needs = [*SNAPSHOT_NEEDS, *(need for probe in PROBES for need in probe.needs)]

    async def one(named: tuple[str, ClusterSettings]) -> list[Check]:
        name, cluster = named
        return await cluster_checks(
            name,
            cluster.kubeconfig,
            cluster.context,
            needs=needs,
            bot_namespace=settings.bot_namespace,
            agent_image=settings.agent_image,
        )

    clusters = await clusters_of(settings)
    return [check for checks in await each(clusters.items(), one, limit=4) for check in checks]
