"""Who somebody is, by what Slack says now; never by what a request claims, and never by a name.

Answers are kept for a minute at most, and asked anew where much hangs on them. When Slack cannot be asked, the person
is nobody that a grant could mean.

Source: https://docs.slack.dev/reference/objects/user-object/
Source: https://docs.slack.dev/reference/methods/usergroups.users.list/
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.aio.each import each
from bot.aio.groups import TaskGroup
from bot.domain.authorization import Grant, Principal
from bot.slack.identity import Identity, NotIdentifiedError, WhoAmI
from bot.slack.lookups import NOT_ANSWERED, CachedLookup, why

log = structlog.get_logger()

_NO_GROUP = frozenset({"no_such_subteam", "subteam_not_found"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What users.info says."""

    team_id: str = ""
    enterprise_id: str = ""
    is_deactivated: bool | None = None
    is_bot: bool | None = None
    is_guest: bool | None = None
    is_external: bool | None = None


class People:
    """The workspace's people, as far as grants need to know them."""

    def __init__(
        self,
        client: AsyncWebClient,
        who_am_i: WhoAmI,
        grants: Iterable[Grant],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Any = client  # the SDK's methods are not fully annotated
        self._who_am_i = who_am_i
        self._groups = tuple(sorted({group for grant in grants for group in grant.groups}))
        self._accounts = CachedLookup(self._ask_account, clock=clock)
        self._members = CachedLookup(self._ask_members, clock=clock)

    async def principal(self, user_id: str, *, fresh: bool = False) -> Principal:
        """The person as of at most a minute ago; `fresh`: as of now. Never raises for what Slack does."""
        if not user_id:
            return Principal(user_id="", unknown="no user was named")
        async with TaskGroup() as group:
            asked = group.create_task(self._groups_of(user_id, fresh=fresh))
            account = await self._account(user_id, fresh=fresh)
        if isinstance(account, str):
            return Principal(user_id=user_id, unknown=account)
        groups, unknown = asked.result()
        return Principal(
            user_id=user_id,
            team_id=account.team_id,
            enterprise_id=account.enterprise_id,
            is_deactivated=account.is_deactivated,
            is_bot=account.is_bot,
            is_guest=account.is_guest,
            is_external=account.is_external,
            groups=groups,
            unknown=unknown,
        )

    def forget_group(self, group_id: str) -> None:
        """Its members changed."""
        self._members.forget(group_id)

    async def _account(self, user_id: str, *, fresh: bool) -> Account | str:
        """The account, or why it is not known."""
        try:
            return await self._accounts.of(user_id, fresh=fresh)
        except (*NOT_ANSWERED, NotIdentifiedError) as error:
            log.warning("people.unknown", user=user_id, error=type(error).__name__, why=why(error))
            return why(error)

    async def _groups_of(self, user_id: str, *, fresh: bool) -> tuple[frozenset[str], str]:
        """The groups that surely hold the person, and why others are not known ("": all are)."""

        async def members(group: str) -> frozenset[str] | str:
            try:
                return await self._members.of(group, fresh=fresh)
            except NOT_ANSWERED as error:
                log.warning("people.group_unknown", group=group, why=why(error))
                return why(error)

        found = await each(self._groups, members)
        pairs = list(zip(self._groups, found, strict=True))
        inside = frozenset(group for group, users in pairs if not isinstance(users, str) and user_id in users)
        return inside, next((users for _, users in pairs if isinstance(users, str)), "")

    async def _ask_account(self, user_id: str) -> Account:
        identity = await self._who_am_i()
        answer = await self._client.users_info(user=user_id)
        return account_of(_of(answer.data, "user"), user_id, identity)

    async def _ask_members(self, group: str) -> frozenset[str]:
        """A group that was deleted has no members."""
        try:
            answer = await self._client.usergroups_users_list(usergroup=group)
        except NOT_ANSWERED as error:
            if why(error) in _NO_GROUP:
                log.warning("people.no_such_group", group=group)
                return frozenset()
            raise
        users: object = answer.data.get("users")
        return frozenset(map(str, cast("list[object]", users))) if isinstance(users, list) else frozenset()


def account_of(user: Mapping[str, Any], user_id: str, identity: Identity) -> Account:
    """The account that users.info describes; one that tells nothing when it is about somebody else."""
    if user.get("id") != user_id:
        return Account()
    team_id = user.get("team_id")
    enterprise_id = _of(user, "enterprise_user").get("enterprise_id")
    return Account(
        team_id=str(team_id or ""),
        enterprise_id=str(enterprise_id or ""),
        is_deactivated=_flag(user, "deleted"),
        is_bot=_flag(user, "is_bot"),
        is_guest=_is_guest(user),
        is_external=_is_external(user, team_id, enterprise_id, identity),
    )


def _is_guest(user: Mapping[str, Any]) -> bool | None:
    if _flag(user, "is_invited_user"):  # sent for invited people only
        return True
    flags = (_flag(user, "is_restricted"), _flag(user, "is_ultra_restricted"))
    return True if True in flags else (None if None in flags else False)


def _is_external(user: Mapping[str, Any], team_id: object, enterprise_id: object, identity: Identity) -> bool | None:
    """Of another organisation. `is_stranger` alone does not tell: it is sent for strangers only, and people of a
    channel shared with us are none. On Enterprise Grid `team_id` may be the organisation's own id.
    """
    if _flag(user, "is_stranger"):
        return True
    if not (isinstance(team_id, str) and team_id):
        return None
    ours = identity.enterprise_id
    return not (team_id == identity.team_id or (bool(ours) and ours in {team_id, enterprise_id}))


def _flag(user: Mapping[str, Any], name: str) -> bool | None:
    """True, False, or None where it is not there or is no truth value."""
    value = user.get(name)
    return value if isinstance(value, bool) else None


def _of(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
