"""Plays seeded chaos (tests/chaos), and keeps what came of it for docs/chaos.md.

    python .ci/chaos.py                  the short list of seeds, which meets every fault; always the same
    python .ci/chaos.py --seed 7         one seed again
    python .ci/chaos.py --rounds 50      as many new seeds, from a fresh beginning
    python .ci/chaos.py … --write        and write docs/chaos.json

It names each seed as it is played, and tells the story of those that broke a promise.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
JOBS = "2"
"""Each has a lab, a Redis and a bot of its own."""


def main(arguments: list[str]) -> int:
    """Pytest's exit code."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--seed", type=int)
    chosen.add_argument("--rounds", type=int)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        code = _play(_seeds(asked.seed, asked.rounds), directory)
        if asked.write:
            kept = {"results": sorted(_results(Path(directory)), key=lambda each: each["seed"])}
            (ROOT / "docs" / "chaos.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return code


def _seeds(seed: int | None, rounds: int | None) -> list[int]:
    """Those to play; none: the short list."""
    if seed is not None:
        return [seed]
    first = secrets.randbelow(10**6)
    return list(range(first, first + (rounds or 0)))


def _play(seeds: list[int], directory: str) -> int:
    """Pytest names each seed as it is played, and tells the story of those that failed."""
    jobs = "0" if len(seeds) == 1 else JOBS
    env = {**os.environ, "CHAOS_RESULTS": directory, "CHAOS_SEEDS": " ".join(map(str, seeds))}
    command = ["pytest", "--verbose", "-n", jobs, "--dist", "loadscope", "--no-loadscope-reorder", "-m", "long"]
    return subprocess.run([*command, "tests/chaos"], cwd=ROOT, env=env, check=False).returncode


def _results(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
