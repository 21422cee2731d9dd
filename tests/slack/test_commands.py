"""What people type."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.commands import (
    USAGE,
    Assign,
    Command,
    Diagnose,
    Help,
    KnownIssues,
    ListIncidents,
    ListPlaybooks,
    Mistake,
    Note,
    StartWatch,
    Status,
    StopWatch,
    is_namespace,
    parse,
    spelled,
    without_mention,
)

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
clusters = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,40}[A-Za-z0-9]", fullmatch=True)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Diagnose, namespace=names, pod=st.none() | names, cluster=clusters),
    st.builds(StartWatch, namespace=names, cluster=clusters),
    st.builds(StopWatch, namespace=names, cluster=clusters),
    st.builds(KnownIssues, id=st.none() | st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,3}", fullmatch=True)),
    st.builds(Note, text=st.from_regex(r"[a-z<&]+( [a-z0-9>]+)*", fullmatch=True)),
    st.builds(Assign, user=st.sampled_from([None, "", "U0BOB"])),
    st.sampled_from([Status(), ListIncidents(), ListPlaybooks(), Help()]),
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("diagnose shop", Diagnose(namespace="shop")),
        ("  Diagnose\tSHOP  ", Diagnose(namespace="shop")),
        ("diagnose shop pod web-1 cluster Prod-EU", Diagnose(namespace="shop", pod="web-1", cluster="Prod-EU")),
        ("diagnose shop cluster eu pod web.1", Diagnose(namespace="shop", pod="web.1", cluster="eu")),
        ("diagnose shop/web-1", Diagnose(namespace="shop", pod="web-1")),
        ("diagnose namespace shop", Diagnose(namespace="shop")),
        ("diagnose -n shop --pod=web", Diagnose(namespace="shop", pod="web")),
        ("diagnose shop \u2014pod web", Diagnose(namespace="shop", pod="web")),
        ("diagnose pod", Diagnose(namespace="pod")),
        ("diagnose pod web namespace shop", Diagnose(namespace="shop", pod="web")),
        ("diagnose \u201cshop\u201d", Diagnose(namespace="shop")),
        ("diagnose `shop`.", Diagnose(namespace="shop")),
        ("*diagnose* _shop_", Diagnose(namespace="shop")),
        ("diagnose <#C0SHOP|shop>", Diagnose(namespace="shop")),
        ("diagnose <http://shop|shop>", Diagnose(namespace="shop")),
        ("diagnose \u200bshop\u200b", Diagnose(namespace="shop")),
        ("diagnose shop cluster arn:aws:eks:eu:1:x/y", Diagnose(namespace="shop", cluster="arn:aws:eks:eu:1:x/y")),
        ("status please", Status()),
        ("incidents", ListIncidents()),
        ("watch shop cluster eu", StartWatch(namespace="shop", cluster="eu")),
        ("unwatch shop", StopWatch(namespace="shop")),
        ("playbooks", ListPlaybooks()),
        ("note Restarted  node-2 &lt;by hand&gt;", Note(text="Restarted  node-2 <by hand>")),
        ("assign", Assign(user=None)),
        ("assign me", Assign(user=None)),
        ("assign nobody", Assign(user="")),
        ("assign <@U0BOB|bob>", Assign(user="U0BOB")),
        ("known-issues", KnownIssues()),
        ("known-issues Calico-8689", KnownIssues(id="calico-8689")),
        ("help", Help()),
        ("", Help()),
        (" \n ", Help()),
    ],
)  # fmt: skip
def test_what_is_meant(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("diagnos shop", "diagnose shop"),
        ("Check shop pod web", "diagnose shop pod web"),
        ("shop", "diagnose shop"),
        ("wacth shop", "watch shop"),
        ("issues", "known-issues"),
        ("statsu", "status"),
        ("xyzzy the <!channel>", "help"),
        ("check", "diagnose NAMESPACE [pod NAME] [cluster NAME]"),
    ],
)
def test_the_nearest_command_is_offered(text: str, nearest: str) -> None:
    mistake = parse(text)
    assert isinstance(mistake, Mistake)
    assert mistake.nearest == nearest


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("diagnose", "Which namespace?"),
        ("diagnose shop web", "What is 'web'?"),
        ("diagnose shop pod", "After `pod` comes a name"),
        ("diagnose shop pod a pod b", "given twice"),
        ("diagnose shop/a pod b", "Two different pods"),
        ("diagnose shop_1", "No namespace can be called 'shop_1'"),
        ("diagnose " + "x" * 64, "No namespace can be called"),
        ("diagnose &lt;!channel&gt;", "No namespace can be called '<!channel>'"),
        ("diagnose <@U0BOB|shop>", "Which namespace?"),
        ("diagnose <!subteam^S0SRE|shop>", "Which namespace?"),
        ("diagnose shop pod a$(reboot)", "No pod can be called"),
        ("diagnose shop cluster ../../etc", "No cluster can be called"),
        ("known-issues a b", "One known issue at a time"),
        ("diagnose " + "x " * 600, "longer than"),
    ],
)
def test_a_mistake_is_a_sentence(text: str, part: str) -> None:
    mistake = parse(text)
    assert isinstance(mistake, Mistake)
    assert part in mistake.sentence


@given(commands)
def test_a_command_is_read_as_it_is_spelled(command: Command) -> None:
    assert parse(spelled(command)) == command


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([*" <>@#!|&;=/`*-", "diagnose", "pod", "shop", "\u2014"])).map("".join)
)
def test_no_text_whatever_gets_past_the_grammar(text: str) -> None:
    found = parse(text)
    if isinstance(found, Mistake):
        assert found.sentence
        assert len(found.sentence) < 500
        assert not found.nearest or found.nearest in USAGE or not isinstance(parse(found.nearest), Mistake)
    elif isinstance(found, Diagnose):
        assert is_namespace(found.namespace)
        assert spelled(found).isascii()


@pytest.mark.parametrize("text", ["<@U1> diagnose shop", "diagnose <@U1|cni> shop", "<@U1><@U1>diagnose shop"])
def test_a_mention_of_ourselves_is_no_word(text: str) -> None:
    assert parse(without_mention(text, "U1")) == Diagnose(namespace="shop")


def test_each_command_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/slack-commands.md").read_text(encoding="utf-8")
    assert [usage for usage in USAGE if f"`/cni {usage}`" not in page] == []


@pytest.mark.parametrize("text", ["fix", "rollback seldon-mesh", "approve 7c1f9a"])
def test_commands_that_would_change_a_cluster_say_what_there_is(text: str) -> None:
    mistake = parse(text)

    assert isinstance(mistake, Mistake)
    assert "`plan WHAT` proposes a change" in mistake.sentence
    assert not isinstance(parse(mistake.nearest), Mistake)
