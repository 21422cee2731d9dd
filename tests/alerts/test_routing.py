"""The operator's routes before the rules, and what a payload's labels cannot do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.operator_routes import Route, load_routes
from bot.alerts.routing import by_rules, route
from bot.domain.alert import AlertScope
from bot.rules.problems import RulesError
from tests.alerts.labels import STATE_METRICS, alert


def load(tmp_path: Path, text: str) -> tuple[Route, ...]:
    path = tmp_path / "alerts.yaml"
    path.write_text(text, encoding="utf-8")
    return load_routes(path, {"namespace", "seldon"})


ROUTES = """\
routes:
  - matchers: ['alertname="KubeProxyDown"', 'cluster=~"edge-.+"']
    ignore: these clusters run without kube-proxy
  - matchers: ['alertname=~"Seldon.+"']
    scope: {namespace: "{tenant}", pod: "{pod_name}"}
    playbook: seldon
    channel: C0123456789
    severity: critical
  - matchers: ['team="edge"']
    channel: C0EDGE00000
  - matchers: ['alertname="Anything"']
    scope: {cluster: true}
"""


def test_the_first_route_that_matches_decides(tmp_path: Path) -> None:
    routes = load(tmp_path, ROUTES)

    ignored = route(alert("KubeProxyDown", cluster="edge-7", team="edge"), routes)
    assert ignored.scope is None
    assert ignored.why == ("Ignored: these clusters run without kube-proxy",)
    assert ignored.rule == f"{tmp_path}/alerts.yaml:2"

    led = route(alert("SeldonModelDown", tenant="shop", pod_name="iris-0"), routes)
    assert led.scope == AlertScope(kind="pod", namespace="shop", name="iris-0")
    assert (led.playbook, led.channel, led.severity) == ("seldon", "C0123456789", "critical")


def test_what_a_route_leaves_open_the_rules_decide(tmp_path: Path) -> None:
    found = route(alert("KubeNodeNotReady", team="edge", node="hive-04"), load(tmp_path, ROUTES))

    assert (found.scope, found.channel) == (AlertScope(kind="node", name="hive-04"), "C0EDGE00000")
    assert found.severity == "warning"


def test_a_route_whose_label_is_missing_says_so_and_leaves_it_to_the_rules(tmp_path: Path) -> None:
    found = route(alert("SeldonModelDown", tenant="shop", namespace="shop"), load(tmp_path, ROUTES))

    assert found.scope == AlertScope(kind="namespace", namespace="shop")
    assert "needs the label pod_name, which is missing" in found.why[-1]
    assert found.channel == "C0123456789"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("{node: n}", AlertScope(kind="node", name="n")),
        ("{namespace: shop}", AlertScope(kind="namespace", namespace="shop")),
        ("{namespace: shop, service: web}", AlertScope(kind="service", namespace="shop", name="web")),
        (
            "{namespace: shop, deployment: web}",
            AlertScope(kind="workload", namespace="shop", name="web", workload="deployment"),
        ),
        ("{component: dns}", AlertScope(kind="component", name="dns")),
        ("{cluster: true}", AlertScope(kind="cluster")),
    ],
)
def test_every_kind_of_scope_can_be_written(tmp_path: Path, scope: str, found: AlertScope) -> None:
    routes = load(tmp_path, f"routes:\n  - matchers: [a=b]\n    scope: {scope}\n")

    assert route(alert("A", a="b"), routes).scope == found


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("routes:\n  - matchers: [a=b, 'c=~\"(\"']\n    ignore: x\n", 2, "no regular expression"),
        ("routes:\n  - matchers: [a=b]\n    playbook: sheldon\n", 3, "did you mean seldon?"),
        ("routes:\n  - matchers: [a=b]\n", 2, "the route does nothing"),
        ("routes:\n  - matchers: [a=b]\n    ignore: x\n    severity: critical\n", 2, "an ignored alert needs no"),
        ("routes:\n  - matchers: [a=b]\n    scope: {node: n, namespace: shop}\n", 3, "name one place"),
        ("routes:\n  - matchers: [a=b]\n    scope: {pod: p}\n", 3, "a pod needs its namespace"),
        ("routes:\n  - matchers: [a=b]\n    scope: {node: '{a b}'}\n", 3, "braces hold the name of one label"),
        ("routes:\n  - matchers: [a=b]\n    channel: '#ops'\n", 3, "match pattern"),
        ("routes:\n  - matchers: []\n    ignore: x\n", 2, "at least 1 item"),
        ("routes:\n  - matcher: [a=b]\n    ignore: x\n", 2, "did you mean matchers?"),
        ("rules: []\n", 1, "did you mean routes?"),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path: Path, text: str, line: int, part: str) -> None:
    with pytest.raises(RulesError) as caught:
        load(tmp_path, text)

    assert any(problem.line == line and part in problem.sentence for problem in caught.value.problems), caught.value


LABEL_NAMES = st.sampled_from(
    ["namespace", "pod", "node", "job", "instance", "container", "service", "name", "daemonset", "deployment",
     "statefulset", "job_name", "k8s_app", "exported_pod", "exported_namespace", "goldpinger_instance", "x"]
)  # fmt: skip
VALUES = st.text(max_size=20) | st.sampled_from(
    ["kube-state-metrics", "shop", "kube-system", "calico-node-x2x7p", "10.0.0.1:9100", "[fd00::1]:9100", "apiserver"]
)


@given(st.text(max_size=20), st.dictionaries(LABEL_NAMES, VALUES))
def test_every_alert_leads_somewhere_or_says_why_not(name: str, labels: dict[str, str]) -> None:
    found = by_rules(alert(name, **labels))

    assert found.why
    assert found.scope is None or str(found.scope)


@given(st.dictionaries(st.sampled_from(["instance", "container", "service", "endpoint"]), VALUES))
def test_what_an_exporter_is_called_changes_nothing(exporters: dict[str, str]) -> None:
    """Labels of kube-state-metrics itself never decide, whatever they hold."""
    labels = {**STATE_METRICS, **exporters, "job": "kube-state-metrics", "node": "hive-04"}

    assert route(alert("KubeNodeNotReady", **labels)).scope == AlertScope(kind="node", name="hive-04")


def test_labels_that_a_scrape_does_not_honour_are_the_victims() -> None:
    labels = {"namespace": "monitoring", "pod": "exporter-0", "exported_namespace": "shop", "exported_pod": "web-0"}
    found = route(alert("Anything", **labels))

    assert found.scope == AlertScope(kind="pod", namespace="shop", name="web-0")
    assert "exported_namespace, exported_pod" in found.why[1]


@pytest.mark.parametrize("pod", ["calico-node-x2x7p", "kube-proxy-x2x7p", "coredns-6d4cf56db6-4xk2p"])
def test_a_name_that_anybody_may_give_a_pod_makes_it_no_component(pod: str) -> None:
    assert route(alert("Anything", namespace="shop", pod=pod)).scope == AlertScope(
        kind="pod", namespace="shop", name=pod
    )
