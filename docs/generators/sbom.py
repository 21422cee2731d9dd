"""deploy/sbom.cdx.json: the Python packages of the image, as a CycloneDX bill of materials, from requirements.lock.

It has no date and no random number: the same lock gives the same file. Debian's packages are not in it: their versions
are the base image's.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.model import bom, component
from cyclonedx.output import json as output
from packageurl import PackageURL
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[2]
PAGE = "deploy/sbom.cdx.json"
PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?")
model: Any = bom
parts: Any = component
written: Any = output
"""Their classes are decorated so that no checker sees their types."""
IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "platform_system": "Linux"}
"""What markers ask about, in the image."""


def packages() -> Iterator[tuple[str, str]]:
    """Name and version of each package that the image gets."""
    for name, version, marker in PIN.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if not marker or Marker(marker.strip()).evaluate(dict(IMAGE)):
            yield name, version


def package(name: str, version: str, kind: str = "library") -> Any:
    """A package, referred to by its address."""
    address = PackageURL("pypi", name=name, version=version)
    kinds = parts.ComponentType
    return parts.Component(name=name, version=version, type=kinds(kind), purl=address, bom_ref=str(address))


def pages() -> dict[str, str]:
    """The bill of materials."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole = package(project["name"], project["version"], "application")
    found = [package(*each) for each in packages()]
    made = model.Bom(components=found)
    made.metadata.component = whole
    made.register_dependency(whole, found)
    plain = json.loads(written.JsonV1Dot6(made).output_as_string())
    del plain["serialNumber"], plain["metadata"]["timestamp"]
    return {PAGE: json.dumps(plain, indent=1) + "\n"}
