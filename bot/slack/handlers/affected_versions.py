"""A cluster's versions are due to be held against the known issues: what is new is posted once, as a note.

It opens no incident and mentions nobody: a version is a reason to read on before an upgrade, and no fault.
"""

import hashlib

import structlog

from bot.domain.errors import BotError
from bot.domain.outgoing import Place, Post
from bot.domain.software import Software
from bot.known_issues.affected import by_version
from bot.known_issues.schema import KnownIssue
from bot.slack import views
from bot.slack.handlers.firing import may_post
from bot.slack.services import Services
from bot.store import Entry, StoreUnavailableError
from bot.store.noted_issues import NotedIssues

log = structlog.get_logger()


async def versions_due(services: Services, entry: Entry) -> None:
    """A cluster that does not tell its CNI's version leaves everything as it was."""
    cluster = str(entry.body.get("cluster") or "")
    if cluster not in services.service.clusters.names:
        return
    try:
        software = await services.service.clusters.named(cluster).software()
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("versions.unknown", cluster=cluster, why=str(error))
        return
    if not software.cni_version:
        log.info("versions.unknown", cluster=cluster, cni=software.cni)
        return
    issues = {issue.id: issue for issue in services.service.knowledge.known_issues}
    may_be = by_version(issues.values(), software)
    found = tuple(sorted(name for name, is_known in may_be.items() if is_known))
    notes = services.store.noted_issues
    before = (await notes.all()).get(cluster, NotedIssues())
    posted = {name for name in before.posted if name in may_be}
    new = [name for name in found if name not in posted]
    if new and await _post(services, cluster, software, [issues[name] for name in new]):
        posted |= {*new}
    after = NotedIssues(found=found, posted=tuple(sorted(posted)))
    if after != before:
        log.info("versions.changed", cluster=cluster, version=software.cni_version, known_issues=found)
        await notes.put(cluster, after)


async def _post(services: Services, cluster: str, software: Software, issues: list[KnownIssue]) -> bool:
    """Whether it was posted. The key is of what it says: who takes over from a killed process says nothing twice."""
    channel = services.known_issues_channel
    if not channel or not await may_post(services, channel):
        return False
    names = " ".join((cluster, *(issue.id for issue in issues)))
    key = f"versions:{hashlib.blake2b(names.encode(), digest_size=12).hexdigest()}"
    content = views.affected_versions(cluster, software, issues)
    await services.outbox.put(Post(key=key, place=Place(channel=channel), content=content))
    return True
