"""What works and what does not: everything that the bot needs, tried one by one, with what to do about it."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence

from bot.aio.each import each
from bot.app.opening import clusters_of
from bot.cluster.examining import examine as examine_cluster
from bot.cluster.scope import SNAPSHOT_NEEDS
from bot.domain.checks import Check
from bot.domain.errors import BotError
from bot.incidents.knowledge import load_knowledge
from bot.probes.catalogue import PROBES
from bot.rules.problems import RulesError
from bot.settings import ClusterSettings, Settings
from bot.slack.client import open_client
from bot.slack.startup import verify
from bot.store import Store, StoreInUseError, open_store

TRY_S = 30.0
_OWN_SERVER = "Without CNIBOT_REDIS_URL the bot runs a server of its own that keeps everything."
_ASK_AGAIN = (
    "Mend what Slack names (invite the bot, unarchive the channel) and ask again: what was given up is not sent any "
    "more, and is forgotten after 30 days without another."
)
_SETTINGS = "Mend the setting: docs/reference/settings.md tells what each one means."


async def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which things build on each other. Never raises for what is wrong in the world."""
    parts: Sequence[Callable[[Settings], Awaitable[list[Check]]]] = (_rules, _store, _slack, _grants, _clusters)

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
        remedy = "Check CNIBOT_REDIS_URL, or leave it empty for a server of the bot's own."
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
        problem = "It is not configured: cnibot serve cannot run, cnibot diagnose can."
        return [Check(name="Slack", state="warning", problem=problem, remedy="docs/slack.md leads through it.")]
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


async def _clusters(settings: Settings) -> list[Check]:
    needs = [*SNAPSHOT_NEEDS, *(need for probe in PROBES for need in probe.needs)]

    async def one(named: tuple[str, ClusterSettings]) -> list[Check]:
        name, cluster = named
        return await examine_cluster(
            name, cluster.kubeconfig, cluster.context, needs=needs, bot_namespace=settings.bot_namespace
        )

    clusters = await clusters_of(settings)
    return [check for checks in await each(clusters.items(), one, limit=4) for check in checks]
