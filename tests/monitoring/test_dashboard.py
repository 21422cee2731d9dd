"""deploy/monitoring/dashboard.json: Grafana knows all of it, promtool parses each expression, its metrics are ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import REGISTRY

from bot.incidents.alerting import reconciling
from tests.architecture.manifests import MONITORING, the
from tests.monitoring.test_rules import MODULES, needs_promtool, promtool

DASHBOARD = cast("dict[str, Any]", json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8")))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
_VARIABLES = {"$__rate_interval": "5m", "$cluster": "prod"}


def lost(before: object, after: object, path: str = "") -> Iterator[str]:
    """What stands in the one and not, or differently, in the other. More may stand there."""
    match before, after:
        case dict(), dict():
            for name, value in cast("dict[str, object]", before).items():
                yield from lost(value, cast("dict[str, object]", after).get(name), f"{path}.{name}")
        case list(), list():
            for index, value in enumerate(cast("list[object]", before)):
                held = cast("list[object]", after)
                yield from lost(value, held[index] if index < len(held) else None, f"{path}[{index}]")
        case _:
            if before != after:
                yield f"{path}: {before!r}"


def through_grafana(dashboard: dict[str, Any]) -> object:
    """What Grafana's own model of a dashboard keeps of it."""
    return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))


def test_grafana_knows_all_of_it() -> None:
    assert list(lost(DASHBOARD, through_grafana(DASHBOARD))) == []


def test_what_grafana_does_not_know_is_noticed() -> None:
    assert list(lost({**DASHBOARD, "tittle": "x"}, through_grafana({**DASHBOARD, "tittle": "x"}))) == [".tittle: 'x'"]


@needs_promtool
def test_promtool_parses_each_expression(tmp_path: Path) -> None:
    """As rules: promtool 2.42 has no other way."""
    named = [{"record": f"panel:{number}", "expr": _filled(each)} for number, each in enumerate(EXPRESSIONS)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": named}]}))
    done = promtool("check", "rules", "rules.yaml", directory=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def _filled(expression: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def test_every_metric_and_label_is_one_of_ours() -> None:
    assert MODULES
    assert reconciling.POLLED
    suffixes = ("", "_total", "_bucket", "_count")
    known = {f"{metric.name}{suffix}" for metric in REGISTRY.collect() for suffix in suffixes}

    assert {name for each in EXPRESSIONS for name in re.findall(r"\bcnibot_[a-z_]+", each)} <= known


def test_panels_have_their_own_ids_and_places() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_what_is_scraped_is_where_the_bot_has_its_metrics() -> None:
    service, monitor = the("Service", "cnibot-metrics"), the("ServiceMonitor", "cnibot")
    bot = the("Deployment", "cnibot")
    (port,) = service["spec"]["ports"]
    (endpoint,) = monitor["spec"]["endpoints"]

    assert service["spec"]["selector"].items() <= bot["spec"]["template"]["metadata"]["labels"].items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "cnibot", "the job that the rules expect"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_asks_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
