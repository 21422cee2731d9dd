from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.mrkdwn import mrkdwn
from tests.lab.slack.page.html import assert_harmless, seen

NOW = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
NAMES = Directory(
    users={"U0ALICE": "alice", "U0BOB": "bob"},
    channels={"C0INCIDENTS": "incidents"},
    groups={"S0SRE": "sre"},
    members={"S0SRE": frozenset({"U0ALICE"})},
    viewer="U0ALICE",
    zone=UTC,
)
AT = int(datetime(2026, 11, 23, 2, 5, 9, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("*bold* _italic_ ~struck~ `code`", "<b>bold</b> <i>italic</i> <s>struck</s> <code>code</code>"),
        ("*bold _and italic_*", "<b>bold <i>and italic</i></b>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("kube_proxy_mode and a*b*c", "kube_proxy_mode and a*b*c"),
        ("* not bold *", "* not bold *"),
        ("`*as it stands*`", "<code>*as it stands*</code>"),
        ("```\nip neigh\n```", "<pre>ip neigh</pre>"),
        ("see:\n```a\nb```after", "see:<br><pre>a\nb</pre>after"),
        ("&gt; said\n&gt; twice\nanswer", "<blockquote>said<br>twice</blockquote>answer"),
        ("one\ntwo", "one<br>two"),
        ("a &amp; b &lt;c&gt;", "a &amp; b &lt;c&gt;"),
        ("&amp;lt;", "&amp;lt;"),
    ],
)
def test_formatting(text: str, html: str) -> None:
    assert str(mrkdwn(text, NAMES, NOW)) == html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<@U0BOB>", "@bob"),
        ("<@U9NEW|newcomer>", "@newcomer"),
        ("<@U9NEW>", "@unknown"),
        ("<#C0INCIDENTS>", "#incidents"),
        ("<#C9|elsewhere>", "#elsewhere"),
        ("<!subteam^S0SRE>", "@sre"),
        ("<!channel>", "@channel"),
        ("<https://example.org/8689|calico#8689>", "calico#8689"),
        ("<https://example.org>", "https://example.org"),
        ("<mailto:a@example.org>", "a@example.org"),
        ("https://example.org/a?b=1.", "https://example.org/a?b=1."),
        (f"<!date^{AT}^{{date_num}} {{time_secs}}|then>", "2026-11-23 02:05:09"),
        (f"<!date^{AT}^{{date_short_pretty}} at {{time}}|then>", "today at 02:05"),
        (f"<!date^{AT}^{{ago}}|then>", "4 minutes ago"),
        (f"<!date^{AT}^{{date_long}} {{what}}|then>", "Monday, 23 November 2026 {what}"),
        ("<!date^x^{date}|then>", "then"),
        (":white_check_mark: :no_such_emoji:", "✅ :no_such_emoji:"),
        ("<script>", "<script>"),
    ],
)
def test_what_tokens_show(text: str, shown: str) -> None:
    assert assert_harmless(mrkdwn(text, NAMES, NOW)).text == shown


def test_a_mention_of_the_reader_or_a_group_of_theirs_stands_out() -> None:
    for text in ("<@U0ALICE>", "<!subteam^S0SRE>", "<!here>"):
        assert 'class="mention me"' in mrkdwn(text, NAMES, NOW)
    assert 'class="mention"' in mrkdwn("<@U0BOB>", NAMES, NOW)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)", "vbscript:x", "file:///etc"]
)
def test_links_lead_to_the_web_only(url: str) -> None:
    assert seen(mrkdwn(f"<{url}|click me>", NAMES, NOW)).addresses == set()
    assert "click me" in mrkdwn(f"<{url}|click me>", NAMES, NOW)


@given(st.text(alphabet=st.sampled_from("<>&;\"'`*_~@#!^|:/=\n {}ax1"), max_size=80) | st.text(max_size=80))
def test_no_text_becomes_a_tag(text: str) -> None:
    assert_harmless(mrkdwn(text, NAMES, NOW))


@given(st.text(max_size=60))
def test_escaped_text_is_shown_as_it_was_written(text: str) -> None:
    """What a cluster says, escaped by the bot and in code, is what the reader sees."""
    clean = "".join(one for one in text if one.isprintable() and one != "`").strip()
    escaped = clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if clean:
        assert seen(mrkdwn(f"`{escaped}`", NAMES, NOW)).text == clean
