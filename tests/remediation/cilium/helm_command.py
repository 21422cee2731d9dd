"""`helm version`, `template`, `upgrade` and `rollback` by Helm's own library, for machines without the program.

It renders for the library's own idea of Kubernetes: `--kube-version` is taken and not used. A rollback is the library's
own, with a time limit for the whole and not for each hook.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import helm_python
import yaml


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version").add_argument("--template", required=True)
    template = commands.add_parser("template")
    template.add_argument("name")
    template.add_argument("chart")
    for option in ("--namespace", "--kube-version", "--values"):
        template.add_argument(option, required=True)
    rollback = commands.add_parser("rollback")
    rollback.add_argument("name")
    rollback.add_argument("revision", type=int)
    upgrade = commands.add_parser("upgrade")
    upgrade.add_argument("name")
    upgrade.add_argument("chart")
    upgrade.add_argument("--install", action="store_true")
    upgrade.add_argument("--values", required=True)
    for command in (rollback, upgrade):
        command.add_argument("--namespace", required=True)
        command.add_argument("--kube-context")
        command.add_argument("--timeout", default="300s")
    rollback.add_argument("--dry-run", choices=["none", "client", "server"], default="none")
    asked = parser.parse_args()
    if asked.command == "version":
        print(helm_python.helm_sdk_version(), end="")
        return 0
    try:
        return {"rollback": rolled_back, "upgrade": upgraded, "template": rendered}[asked.command](asked)
    except helm_python.HelmError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def rolled_back(asked: argparse.Namespace) -> int:
    kubeconfig, context = os.environ["KUBECONFIG"], asked.kube_context
    with helm_python.Config(kubeconfig_path=kubeconfig, kube_context=context, namespace=asked.namespace) as helm:
        timeout = int(asked.timeout.removesuffix("s"))
        dry_run = None if asked.dry_run == "none" else asked.dry_run
        helm.rollback(asked.name, version=asked.revision, timeout=timeout, dry_run=dry_run)
    print("Rollback was a success! Happy Helming!")
    return 0


def upgraded(asked: argparse.Namespace) -> int:
    assert asked.values == "-"
    values: dict[str, Any] = yaml.safe_load(sys.stdin) or {}
    with helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=asked.namespace) as helm:
        is_new = asked.install and not any(one["name"] == asked.name for one in helm.list(all_states=True))
        (helm.install if is_new else helm.upgrade)(asked.chart, asked.name, values)
    return 0


def rendered(asked: argparse.Namespace) -> int:
    assert asked.values == "-"
    values: dict[str, Any] = yaml.safe_load(sys.stdin) or {}
    with helm_python.Chart.load(asked.chart) as chart:
        chart.validate_schema(values)
        made = chart.render(values, name=asked.name, namespace=asked.namespace)
    for path, text in sorted(made.items()):
        if text.strip() and path.endswith(".yaml"):
            print(f"---\n# Source: {path}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
