"""Plays seeded chaos (tests/chaos), and keeps what came of it for docs/chaos.md.

    python .ci/chaos.py                  the short list of seeds, which meets every fault; always the same
    python .ci/chaos.py --seed 7         one seed again; `--seed 3 7 9`: these in one bot's life, one after the other
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
JOBS = "3"
"""Each has a lab, a Redis and a bot of its own, and mostly waits: for faults to be over, and for Slack's pace."""


def main(arguments: list[str]) -> int:
    """Pytest's exit code."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--seed", type=int, nargs="+")
    chosen.add_argument("--rounds", type=int)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        code = _play(asked.seed or [], asked.rounds or 0, directory)
        if asked.write:
            kept = {"results": sorted(_results(Path(directory)), key=lambda each: each["seed"])}
            (ROOT / "docs" / "chaos.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return code


def _play(together: list[int], rounds: int, directory: str) -> int:
    """Pytest names each life's seeds as it is played, and tells the story of those that failed. 0 rounds: the list."""
    first = secrets.randbelow(10**6)
    fresh = range(first, first + rounds)
    jobs = "0" if together else JOBS
    chosen = {"CHAOS_LIFE": " ".join(map(str, together)), "CHAOS_SEEDS": " ".join(map(str, fresh))}
    env = {**os.environ, "CHAOS_RESULTS": directory, **chosen}
    command = ["pytest", "--verbose", "-n", jobs, "--dist", "loadscope", "--no-loadscope-reorder", "-m", "long"]
    return subprocess.run([*command, "tests/chaos"], cwd=ROOT, env=env, check=False).returncode


def _results(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
