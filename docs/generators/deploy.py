"""deploy/: the chart's rights, from what the code declares, its copy of deploy/monitoring (Helm reads no file outside
of a chart), and the plain manifests, rendered from the chart by Helm.

Helm's own library renders (the development lock has it where there is a wheel); where it is missing the manifests are
left as they are, and CI, which has it, tells when they are stale.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bot.cluster.access.ladder import rung_needs
from bot.cluster.snapshot.scope import CONFIG_MAPS, SNAPSHOT_NEEDS
from bot.domain.access import Need
from bot.domain.facts import Rung
from bot.probes.catalogue import PROBES
from bot.remediation.actions.restore import RESTORABLE_MAPS
from bot.remediation.rights import EXECUTOR_NEEDS

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy" / "chart" / "cnibot"
MONITORING = ("prometheus-rule.yaml", "dashboard.json")
"""Of deploy/monitoring, what the chart has in it."""
NAMESPACE = "cnibot"

BY_HAND = {("create", "", "namespaces")}
"""Not granted: it is for a laptop without deploy/, which makes the namespace itself."""

MANIFESTS = {
    "namespace": "namespace",
    "service-account": "service-account",
    "rbac": "rbac",
    "config": "config",
    "state": "state",
    "bot": "bot",
    "rbac-exec": "exec/rbac",
    "rbac-remediation": "remediation/rbac",
    "cli": "cli/deployment",
    "node-agents": "node-agents/daemonset",
}
"""Where each template's objects are among the plain manifests."""

VALUES: Mapping[str, Any] = {
    "namespace": {"create": True},
    "rbac": {"exec": True, "remediation": True},
    "cli": {"enabled": True},
    "nodeAgents": {"daemonSet": True},
}


def rules(needs: Iterable[Need], config_maps: Sequence[str] = ()) -> list[dict[str, Any]]:
    """RBAC rules that allow exactly this: resources with the same verbs share one. `config_maps` alone, if given."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for need in needs:
        if (need.verb, need.group, need.resource) not in BY_HAND:
            verbs.setdefault((need.group, need.resource), set()).add(need.verb)
    shared: dict[tuple[str, tuple[str, ...], bool], list[str]] = {}
    for (group, resource), some in sorted(verbs.items()):
        is_named = bool(config_maps) and resource == "configmaps"
        shared.setdefault((group, tuple(sorted(some)), is_named), []).append(resource)
    names = {"resourceNames": list(config_maps)}
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(some), **(names if is_named else {})}
        for (group, some, is_named), resources in shared.items()
    ]


def rights() -> str:
    """files/rbac.yaml of the chart."""
    needed = [
        *(need for probe in PROBES for need in probe.needs),
        *SNAPSHOT_NEEDS,
        *rung_needs(Rung.AGENT, bot_namespace=NAMESPACE),
    ]
    config_maps = sorted({name for _, name in CONFIG_MAPS})
    every = {
        "base": rules((need for need in needed if need.namespace != NAMESPACE), config_maps),
        "agents": rules(need for need in needed if need.namespace == NAMESPACE),
        "exec": rules([*rung_needs(Rung.EXEC), *rung_needs(Rung.CNI_AGENT)]),
        "remediation": rules(EXECUTOR_NEEDS, RESTORABLE_MAPS),
    }
    return "# Written from what the code declares that it needs: make docs\n" + yaml.safe_dump(every, sort_keys=False)


def rendered(files: Mapping[str, str]) -> dict[str, str]:
    """The plain manifests, by path, of the chart with these files in it; none where Helm's library is missing."""
    try:
        import helm_python  # noqa: PLC0415 - no wheel for every platform
    except ImportError:
        return {}
    with TemporaryDirectory() as directory:
        chart = Path(directory) / "cnibot"
        shutil.copytree(CHART, chart)
        for name, text in files.items():
            (chart / name).parent.mkdir(exist_ok=True)
            (chart / name).write_text(text, encoding="utf-8")
        with helm_python.Chart.load(chart) as loaded:
            made = loaded.render(dict(VALUES), name="cnibot", namespace=NAMESPACE)
    head = "# Rendered from deploy/chart/cnibot: make docs\n"
    return {
        f"deploy/manifests/{path}.yaml": head + made[f"cnibot/templates/{template}.yaml"].strip() + "\n"
        for template, path in MANIFESTS.items()
    }


def pages() -> dict[str, str]:
    """The chart's rights, and what is rendered from it with them."""
    published = ROOT / "deploy" / "monitoring"
    copies = {f"files/monitoring/{name}": (published / name).read_text(encoding="utf-8") for name in MONITORING}
    files = {"files/rbac.yaml": rights()} | copies
    return {str((CHART / name).relative_to(ROOT)): text for name, text in files.items()} | rendered(files)
