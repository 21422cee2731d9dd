"""Keeps the transcript in docs/story.md, and its chapter in README.md, what the demo really prints.

    python .ci/transcript.py write     run the demo, and put what it printed into both
    python .ci/transcript.py check     run it, and tell whether they still show that

Compared are the steps of the story, the commands and the verdicts, by words: what differs from run to run is forgiven,
numbers, generated names and the order of evidence among them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "story.md", ROOT / "README.md"
CHAPTER = "# The diagnosis\n"
"""What README shows: enough to see what a verdict looks like."""
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


def split(page: str) -> tuple[str, str, str]:
    """What stands before the transcript, the transcript, and what stands after it."""
    head, _, rest = page.partition(BEGIN)
    shown, _, tail = rest.partition(END)
    return head, shown.removeprefix("```text\n").removesuffix("```\n"), tail


def chapter(transcript: str) -> str:
    """The chapter of it that README shows."""
    _, title, rest = transcript.partition(CHAPTER)
    return title + rest.partition("\n# ")[0].rstrip("\n") + "\n"


def put(page: Path, text: str) -> None:
    """The text in the place of the page's transcript."""
    head, _, tail = split(page.read_text(encoding="utf-8"))
    page.write_text(f"{head}{BEGIN}```text\n{text}```\n{END}{tail}", encoding="utf-8")


TELLING = re.compile(r"(?m)^(?:# .*| ?(?:HEALTHY|BROKEN|DEGRADED|INCONCLUSIVE) .*|\$ .*|.*\((?:confirmed|likely)\).*)$")
"""The lines that tell the story."""


def words(text: str) -> set[str]:
    """The words of a transcript's telling lines without what varies. Order and repetitions vary too."""
    text = "\n".join(TELLING.findall(text))
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return set(re.findall(r"[\w/.*=+-]+", text))


def main(arguments: list[str]) -> int:
    """Exit code 1 when the pages show something else than the demo prints."""
    _, shown, _ = split(PAGE.read_text(encoding="utf-8"))
    match arguments:
        case ["write"]:
            now = played()
            put(PAGE, now)
            put(README, chapter(now))
            return 0
        case ["check"]:
            if split(README.read_text(encoding="utf-8"))[1] != chapter(shown):
                print("README.md shows another diagnosis than docs/story.md")
                return 1
            was, now = words(shown), words(played())
            if was == now:
                return 0
            print(f"only in docs/story.md: {' '.join(sorted(was - now))}")
            print(f"only in the demo:      {' '.join(sorted(now - was))}")
            print("to write it again: make transcript")
            return 1
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
