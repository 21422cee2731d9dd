import pytest

from bot.lab.slack.fixtures import furnished
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.page.typing import encoded, offers, split_command
from bot.lab.slack.workspace_state import WorkspaceState
from tests.lab.slack.page.gallery import HINT

WORLD = furnished(WorkspaceState(SlackOptions()))


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("@cni diagnose seldon-mesh", "<@U0CNIBOT> diagnose seldon-mesh"),
        ("ask @bob in #alerts", "ask <@U0BOB> in <#C0ALERTS>"),
        ("@dave is gone, @nobody never was", "@dave is gone, @nobody never was"),
        ("mail bob@example.org", "mail bob@example.org"),
        ("<@U0BOB> stays", "<@U0BOB> stays"),
        ("see #8689", "see #8689"),
    ],
)
def test_names_become_ids(typed: str, sent: str) -> None:
    assert encoded(typed, WORLD) == sent


def test_what_begins_with_a_slash_is_a_command_whether_or_not_an_app_has_it() -> None:
    assert split_command("/cni diagnose  seldon-mesh ") == ("/cni", "diagnose  seldon-mesh")
    assert split_command("/cni") == ("/cni", "")
    assert split_command("/cnix status") == ("/cnix", "status")
    assert split_command("see /cni") is None
    assert split_command(" /etc/hosts says otherwise") is None


def test_a_command_is_offered_with_its_usage_and_then_word_by_word() -> None:
    (offer,) = offers("/c", WORLD, (HINT,))
    assert (offer.title, offer.insert) == ("/cni", "/cni ")
    assert offer.note == f"{HINT.usage}\n{HINT.description}"
    assert [one.note for one in offers("/cni ", WORLD, (HINT,))] == [
        "diagnose NAMESPACE",
        "status",
        "incidents",
        "help",
    ]
    assert [one.insert for one in offers("/cni d", WORLD, (HINT,))] == ["/cni diagnose "]
    assert offers("/cni diagnose seldon", WORLD, (HINT,)) == []
    assert offers("/cni status", WORLD, (HINT,)) == []


def test_names_are_offered_after_an_at_sign_the_bot_first() -> None:
    assert [one.title for one in offers("hi @", WORLD, ())][:3] == ["@cni", "@alertmanager", "@alice"]
    assert [one.insert for one in offers("hi @cn", WORLD, ())] == ["hi @cni "]
    assert offers("mail@bo", WORLD, ()) == []
    assert offers("@bob and", WORLD, ()) == []
    assert "@dave" not in [one.title for one in offers("@", WORLD, ())]
