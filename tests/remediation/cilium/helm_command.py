"""`helm version` and `helm template` by Helm's own library, for machines without the program.

It renders for the library's own idea of Kubernetes: `--kube-version` is taken and not used.
"""

from __future__ import annotations

import argparse
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
    asked = parser.parse_args()
    if asked.command == "version":
        print(helm_python.helm_sdk_version(), end="")
        return 0
    assert asked.values == "-"
    values: dict[str, Any] = yaml.safe_load(sys.stdin) or {}
    try:
        with helm_python.Chart.load(asked.chart) as chart:
            chart.validate_schema(values)
            made = chart.render(values, name=asked.name, namespace=asked.namespace)
    except helm_python.HelmError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for path, text in sorted(made.items()):
        if text.strip() and path.endswith(".yaml"):
            print(f"---\n# Source: {path}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
