"""Secrets do not survive, and what is none does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diagnosis.knowledge import load_knowledge
from bot.domain.redact import MASK, redact, redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DB_PASSWORD=hunter2 rest", f"DB_PASSWORD={MASK} rest"),
        ("password: 'two words' rest", f"password: '{MASK}' rest"),
        ('{"client_secret": "a \\" b", "user": "c"}', f'{{"client_secret": "{MASK}", "user": "c"}}'),
        ('{\\"token\\":\\"abc def\\"} z', f'{{\\"token\\":\\"{MASK}\\"}} z'),
        ("--from-literal=password=x --token abc", f"--from-literal=password={MASK} --token {MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("authorization: Basic dXNlcjpwYXNz", f"authorization: Basic {MASK}"),
        ("sent bearer abcdef0123456789 today", f"sent bearer {MASK} today"),
        ("Cookie: a=b; sid=123", f"Cookie: {MASK}"),
        (f"got {JWT}.", f"got {MASK}"),
        ("curl -u bob:pw https://x", f"curl -u bob:{MASK} https://x"),
        ("postgres://app:p@ss@db:5432/x", f"postgres://{MASK}@db:5432/x"),
        ("https://x/y?sig=abc%2F&sv=1", f"https://x/y?sig={MASK}&sv=1"),
        ("https://hooks.slack.com/services/T0/B0/xyz", f"https://hooks.slack.com/services/{MASK}"),
        ("key AKIAIOSFODNN7EXAMPLE end", f"key {MASK} end"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", MASK),
        ("api_key=s3cr3t/password = hunter2 on x", f"api_key={MASK} password = {MASK} on x"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7", f"aws_secret_access_key = {MASK}"),
        ("    client-key-data: LS0tLS1CRUdJTiBSU0E= x", f"    client-key-data: {MASK} x"),
        ("data LS0tLS1CRUdJTiBDRVJUSUZJ== end", f"data {MASK} end"),
        ('"auth": "dXNlcjpwYXNz"', f'"auth": "{MASK}"'),
        ("join with abcdef.0123456789abcdef now", f"join with {MASK} now"),
        ("K10aaaaaaaaaaaaaaaaaaaaaaaa::server:abc", MASK),
        ("xoxb-123456789012-abcdef and ghp_abcdefghijklmnopqrstuvwxyz0123", f"{MASK} and {MASK}"),
        ("a -----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY----- b", f"a {MASK} b"),
        ("a -----BEGIN PRIVATE KEY----- MHc and its end is cut", f"a {MASK}"),
        ("PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", f"PrivateKey = {MASK}"),
    ],
)
def test_secrets_are_struck_out(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "The token of ServiceAccount kube-system/calico-node has expired",
        "bearer authentication failed",
        "ssh://git@github.com/x and https://10.0.0.1:6443/api",
        "not allowed to list secrets in the whole cluster",
        "sysctl -w net.ipv4.conf.cali1.proxy_arp=1",
        "kubectl exec -n seldon-mesh a-7d4b9c6f5-x2x7k -- ip neigh show",
        "keys 02:42:ac:11:00:02, fd00::5, sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "pod seldon-mesh/passwordless: the gateway is silent",
        "calico.serviceaccounts, system.unauthenticated",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_values_go_by_their_names_too() -> None:
    data = {"password": "hunter2", "list": [{"apiKey": "x", "name": "y"}], "empty_token": "", "count": 3}

    assert redacted(data) == {
        "password": MASK,
        "list": [{"apiKey": MASK, "name": "y"}],
        "empty_token": "",
        "count": 3,
    }


def test_no_rule_of_ours_reads_like_a_secret() -> None:
    """A sentence or a command that was struck out would tell nobody anything."""
    knowledge = load_knowledge()
    sentences = [cause.mechanism for cause in knowledge.causes]
    sentences += [clause.says.source for cause in knowledge.causes for clause in (*cause.requires, *cause.supports)]
    sentences += [
        each.source for cause in knowledge.causes for fix in cause.fixes for each in (*fix.commands, *fix.undo)
    ]
    sentences += [text for issue in knowledge.known_issues for text in (issue.title, issue.mechanism, issue.notes)]

    assert len(sentences) > 300
    assert [text for text in sentences if redact(text) != text] == []


pieces = st.sampled_from(
    (
        "password",
        "token",
        "=",
        ": ",
        '"',
        "'",
        "\\",
        " ",
        "Bearer ",
        "eyJ",
        "abc123def456",
        "://",
        "@",
        ":",
        "-----BEGIN ",
    )
)


@given(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=40).map("".join))
def test_redacting_twice_strikes_no_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "piece", ["password", "://a:", "bearer ", '"token":"', "--a-b-", "eyJ", "-----BEGIN A PRIVATE KEY-----"]
)
def test_long_text_of_one_kind_is_no_trap(piece: str) -> None:
    """A pattern that is not linear would take minutes here."""
    assert len(redact(piece * (400_000 // len(piece)))) <= 450_000 * 2
