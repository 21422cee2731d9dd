"""Writes the hash-locked requirements files, or tells without the network whether they still fit pyproject.toml.

    python .ci/lock.py write [--upgrade]     needs uv (a developer's tool) and a package index
    python .ci/lock.py check [DIRECTORY]     reads files only

One resolution for all: the development lock is solved first and holds the others to its versions. `check` asks that
every declared requirement is pinned to a version it allows, that nothing is pinned for a requirement that went, that
every pin has a hash, and that no lock names a package index or a file of somebody's machine.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One lock file and the parts of pyproject.toml it is solved from."""

    file: str
    runtime: bool
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


EVERYTHING = Lock(file="requirements-dev.lock", runtime=True, extras=("lab",), groups=("dev",))
LOCKS = (
    EVERYTHING,
    Lock(file="requirements-lab.lock", runtime=True, extras=("lab",), groups=("setup", "build")),
    Lock(file="requirements.lock", runtime=True, extras=("plots",)),  # the image draws pictures
    Lock(file="requirements-build.lock", runtime=False, groups=("build",)),
)


def declared(pyproject: dict[str, Any], lock: Lock) -> Iterator[Requirement]:
    """The requirements that pyproject.toml states for this lock, without what they need in turn."""
    project = pyproject["project"]
    if lock.runtime:
        yield from map(Requirement, project["dependencies"])
    for extra in lock.extras:
        yield from map(Requirement, project["optional-dependencies"][extra])
    for group in lock.groups:
        yield from _group(pyproject["dependency-groups"], group)


def _group(groups: dict[str, list[Any]], name: str) -> Iterator[Requirement]:
    for entry in groups[name]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            yield from _group(groups, entry["include-group"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of a lock: what fixes it and who asked for it."""

    name: NormalizedName
    version: str
    text: str

    @property
    def key(self) -> tuple[NormalizedName, str]:
        """What must be equal in every lock that holds the package."""
        return self.name, self.version

    @property
    def is_direct(self) -> bool:
        """True where pyproject.toml itself asks for it, by uv's own annotation."""
        return re.search(r"#\s+(via )?cnibot(:\w+)? \(pyproject\.toml", self.text) is not None


def pins(text: str) -> list[Pin]:
    """The packages of a lock file, each with the lines up to the next one."""
    heads = list(re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [
        Pin(name=canonicalize_name(head[1]), version=head[2], text=text[head.start() : end])
        for head, end in zip(heads, ends, strict=True)
    ]


def complaints(root: Path) -> Iterator[str]:
    """One sentence for each way in which a lock and pyproject.toml of a directory do not fit."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    everything = {(pin.name, pin.version) for pin in pins((root / EVERYTHING.file).read_text())}
    for lock in LOCKS:
        text = (root / lock.file).read_text()
        found = pins(text)
        wanted = {canonicalize_name(item.name): item for item in declared(pyproject, lock)}
        said = [*_missing(wanted, found), *_unfit(wanted, found), *_places(text)]
        said += [
            f"{pin.name} {pin.version} differs from {EVERYTHING.file}" for pin in found if pin.key not in everything
        ]
        yield from (f"{lock.file}: {sentence}" for sentence in said)


def _missing(wanted: dict[NormalizedName, Requirement], found: list[Pin]) -> Iterator[str]:
    names = {pin.name for pin in found}
    yield from (f"{requirement} is not locked" for name, requirement in wanted.items() if name not in names)


def _unfit(wanted: dict[NormalizedName, Requirement], found: list[Pin]) -> Iterator[str]:
    for pin in found:
        requirement = wanted.get(pin.name)
        if requirement and not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"{pin.name} is locked at {pin.version}, pyproject.toml asks for {requirement}"
        if pin.is_direct and not requirement:
            yield f"{pin.name} is locked, and pyproject.toml no longer asks for it"
        if "--hash=sha256:" not in pin.text:
            yield f"{pin.name} has no hash"


def _places(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(r"://|^\s*-(?!-hash=)|^\s*[./]|\s@\s", line):
            yield f"line {number} names a place to fetch from: {line.strip()}"


def write(root: Path, *, upgrade: bool) -> None:
    """Solve again; versions stay where they are unless `upgrade`, or a requirement moved."""
    for lock in LOCKS:
        command = ["uv", "--quiet", "pip", "compile", "--output-file", lock.file]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
        command += ["--no-emit-index-url", "--no-emit-find-links"]
        command += ["pyproject.toml"] if lock.runtime else []
        command += [part for extra in lock.extras for part in ("--extra", extra)]
        command += [part for group in lock.groups for part in ("--group", group)]
        if lock is not EVERYTHING:
            command += ["--constraint", EVERYTHING.file]
        elif upgrade:
            command += ["--upgrade"]
        subprocess.run(command, cwd=root, check=True)


def main(arguments: list[str]) -> int:
    """Exit code 1 and one line for each complaint, or 0."""
    match arguments:
        case ["write", *rest]:
            write(ROOT, upgrade="--upgrade" in rest)
            return 0
        case ["check", *rest]:
            found = list(complaints(Path(rest[0]) if rest else ROOT))
            for sentence in found:
                print(sentence)
            if found:
                print("to lock again: make lock")
            return 1 if found else 0
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
