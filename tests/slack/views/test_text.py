import pytest

from bot.slack.views.text import (
    Mrkdwn,
    bold,
    clean,
    code,
    escape,
    exact,
    fence,
    fits,
    link,
    moment,
    person,
    plain,
    reference,
    shortened,
    units,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <!channel> & <@U1>", "a &lt;!channel&gt; &amp; &lt;@U1&gt;"),
        ("cali* and ip_forward", "cali* and ip_forward"),
        ("*bold* _it_ ~gone~ (*)", "`*bold*` `_it_` `~gone~` (`*`)"),
        ("mac 02:ab:cd:00:00:01, fd00:100::1.", "mac `02:ab:cd:00:00:01`, `fd00:100::1`."),
        (":boom: at 10.0.0.1:9004", "`:boom:` at 10.0.0.1:9004"),
        ("> quoted -> arrow", "`&gt;` quoted -&gt; arrow"),
        ("`a` ```b```", "'a' '''b'''"),
        ("a\u202eb\u200b\x00\n c", "a b c"),
        ("password=hunter2 x", "password=[redacted] x"),
        ("", ""),
    ],
)
def test_foreign_text_is_shown_and_obeyed_in_nothing(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_text_is_cut_between_words_and_never_within_an_entity() -> None:
    assert escape("one two three four", 12) == "one two …"
    assert escape("<" * 100, 40) == "`" + "&lt;" * 9 + "…`"
    assert units(escape("\U0001f600" * 400, 300)) <= 300


def test_a_secret_is_struck_out_before_a_cut_could_hide_its_form() -> None:
    assert "AKIA" not in escape("x" * 290 + " AKIAIOSFODNN7EXAMPLE")
    assert "AKIA" not in clean(
        "-----BEGIN PRIVATE KEY-----" + "a" * 3_100 + "-----END PRIVATE KEY----- AKIAIOSFODNN7EXAMPLE"
    )


def test_names_are_code_that_cannot_be_left() -> None:
    assert code("a`b") == "`a'b`"
    assert code("") == "` `"
    assert bold("a*b") == "*a b*"


def test_plain_text_has_no_angle_brackets() -> None:
    assert plain("<!here> a & b", 50) == "‹!here› a + b"  # noqa: RUF001


def test_commands_stand_as_they_are() -> None:
    assert fence(["awk '{print  $1}' < a && b"]) == "```\nawk '{print  $1}' &lt; a &amp;&amp; b\n```"
    assert fence(["echo ``` x"]).count("```") == 2
    assert exact("a\u200bb") == "a\ufffdb"
    assert not fits("x" * 601)
    assert fence([]) == ""


def test_only_ids_ping() -> None:
    assert person("U012AB") == "<@U012AB>"
    assert person("S012AB") == "<!subteam^S012AB>"
    assert person("channel> x") == "`channel&gt; x`"


def test_only_addresses_link() -> None:
    assert reference("a/b#12") == "<https://github.com/a/b/issues/12|a/b#12>"
    assert reference("https://x.example/a") == "<https://x.example/a|x.example/a>"
    assert link("javascript:alert(1)", "a <b>") == "a &lt;b&gt;"
    assert link("https://x/?token=abc", "label") == "label"
    assert link("https://x/?a=1&b=2", "p|q>") == "<https://x/?a=1&amp;b=2|p/q&gt;>"


def test_times_show_in_the_readers_zone_and_in_utc_where_they_cannot() -> None:
    assert moment(0) == "<!date^0^{date_short_pretty} {time}|1970-01-01 00:00 UTC>"
    assert moment(float("nan")) == moment(0)


def test_a_last_cut_leaves_no_fence_open() -> None:
    text = Mrkdwn("head\n```\n" + "line\n" * 100 + "```\ntail")

    cut = shortened(text, 100)

    assert units(cut) <= 100
    assert cut.count("```") == 2
    assert cut.endswith("…")
