"""Keeps the transcript in README.md what the demo really prints.

    python .ci/transcript.py write     run the demo, and put what it printed into README.md
    python .ci/transcript.py check     run it, and tell whether README.md still shows that

Compared are the steps of the story, the commands and the verdicts, by words: what differs from run to run is forgiven,
numbers, generated names and the order of evidence among them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
COMMAND = ("cnibot", "demo", "--scripted")
BEGIN, END = f"<!-- transcript of: {' '.join(COMMAND)} -->\n", "<!-- /transcript -->"

VARYING = (
    (r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b", "MAC"),
    (r"\b(cali|lxc|veth)[0-9a-f]{8,}", r"LINK"),
    (r"-[a-z0-9]{6,10}-[a-z0-9]{5}\b", "-POD"),
    (r"\d+", "N"),
    (r"N[.,]N", "N"),
    (r"\bms\b", "s"),
)


def played() -> str:
    """What the demo prints when nobody watches: no colours, 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(COMMAND)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n") + "\n"


def split(readme: str) -> tuple[str, str, str]:
    """What stands before the transcript, the transcript, and what stands after it."""
    head, _, rest = readme.partition(BEGIN)
    shown, _, tail = rest.partition(END)
    return head, shown.removeprefix("```text\n").removesuffix("```\n"), tail


TELLING = re.compile(r"(?m)^(?:# .*| (?:HEALTHY|BROKEN|DEGRADED|INCONCLUSIVE) .*|\$ .*|.*\((?:confirmed|likely)\).*)$")
"""The lines that tell the story."""


def words(text: str) -> set[str]:
    """The words of a transcript's telling lines without what varies. Order and repetitions vary too."""
    text = "\n".join(TELLING.findall(text))
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return set(re.findall(r"[\w/.*=+-]+", text))


def main(arguments: list[str]) -> int:
    """Exit code 1 when README.md shows something else than the demo prints."""
    head, shown, tail = split(README.read_text(encoding="utf-8"))
    match arguments:
        case ["write"]:
            README.write_text(f"{head}{BEGIN}```text\n{played()}```\n{END}{tail}", encoding="utf-8")
            return 0
        case ["check"]:
            was, now = words(shown), words(played())
            if was == now:
                return 0
            print(f"only in README.md: {' '.join(sorted(was - now))}")
            print(f"only in the demo:  {' '.join(sorted(now - was))}")
            print("to write it again: make transcript")
            return 1
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
