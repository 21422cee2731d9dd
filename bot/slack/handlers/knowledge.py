"""`playbooks` and `known-issues`: what cnibot knows."""

from bot.domain.authorization import Action
from bot.incidents.clusters import nearest
from bot.slack import views
from bot.slack.caller import Caller, ephemeral, is_allowed
from bot.slack.commands import KnownIssues, Mistake
from bot.slack.services import Services
from bot.slack.views import notices


async def playbooks(services: Services, caller: Caller) -> None:
    """The playbooks."""
    if await is_allowed(services, caller, Action.READ):
        await ephemeral(services, caller, "playbooks", views.playbook_list(services.service.knowledge.playbooks))


async def known_issues(services: Services, caller: Caller, command: KnownIssues) -> None:
    """All known issues, or one."""
    if not await is_allowed(services, caller, Action.READ):
        return
    known = services.service.knowledge.known_issues
    if command.id is None:
        await ephemeral(services, caller, "known-issues", views.known_issue_list(known))
        return
    found = next((issue for issue in known if issue.id == command.id), None)
    if found is not None:
        await ephemeral(services, caller, "known-issue", views.known_issue(found))
        return
    near = nearest(command.id, [issue.id for issue in known], 1)
    mistake = Mistake(
        sentence=f"There is no known issue {command.id!r}.",
        nearest=f"known-issues {near[0]}" if near else "known-issues",
    )
    await ephemeral(services, caller, "known-issue", notices.mistaken(mistake, "/cni"))
