"""Keeps the transcripts of the pages what the program really prints.

    python .ci/transcript.py write|check story         docs/story.md and its chapter in README.md: the demo
    python .ci/transcript.py write|check quickstart    docs/quickstart.md: its commands, typed in a new lab

`write` puts what was printed into the pages; `check` tells whether they still show that. Compared are the steps of the
story, the commands and the verdicts, by words: what differs from run to run is forgiven, numbers, generated names and
the order of evidence among them.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "docs" / "quickstart.md"
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


CONSOLE = re.compile(r"(?s)(?<=<!-- played -->\n```console\n)(.*?)(?=```\n)")
"""The blocks of the quick start whose commands are typed."""
NEXT = "--- and the next command ---"


def typed(blocks: list[str]) -> list[str]:
    """The blocks with what their commands print now, in one shell that knows nothing of this machine's clusters."""
    commands = [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in blocks]
    script = "".join(f"{command}\necho '{NEXT}'\n" for some in commands for command in some)
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "CNIBOT_STATE_DIR": f"{home}/state"}
        environment |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8"}
        try:
            done = subprocess.run(
                ["bash", "-c", script],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=300,
            )
        finally:
            subprocess.run(["cnibot", "lab", "down"], env=environment, capture_output=True, check=False, timeout=60)
    printed = iter(done.stdout.replace(home, "~").split(f"{NEXT}\n"))
    return ["".join(f"$ {command}\n{next(printed)}" for command in some) for some in commands]


def story(order: str) -> int:
    """Exit code 1 when the pages show something else than the demo prints."""
    _, shown, _ = split(PAGE.read_text(encoding="utf-8"))
    if order == "write":
        now = played()
        put(PAGE, now)
        put(README, chapter(now))
        return 0
    if split(README.read_text(encoding="utf-8"))[1] != chapter(shown):
        print("README.md shows another diagnosis than docs/story.md")
        return 1
    return compared(PAGE, shown, played())


def quickstart(order: str) -> int:
    """Exit code 1 when the page shows something else than its commands print."""
    page = QUICKSTART.read_text(encoding="utf-8")
    shown = CONSOLE.findall(page)
    now = typed(shown)
    if order == "write":
        left = iter(now)
        QUICKSTART.write_text(CONSOLE.sub(lambda _: next(left), page), encoding="utf-8")
        return 0
    return compared(QUICKSTART, "\n".join(shown), "\n".join(now))


def compared(page: Path, shown: str, now: str) -> int:
    """Exit code 1, with the difference, when a page shows something else than is printed."""
    was, found = words(shown), words(now)
    if was == found:
        return 0
    print(f"only in {page.relative_to(ROOT)}: {' '.join(sorted(was - found))}")
    print(f"only in what is printed: {' '.join(sorted(found - was))}")
    print("to write it again: make transcript")
    return 1


def main(arguments: list[str]) -> int:
    """The exit code."""
    match arguments:
        case [("write" | "check") as order, "story"]:
            return story(order)
        case [("write" | "check") as order, "quickstart"]:
            return quickstart(order)
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the quick start's lab is detached: nobody else ends it
    sys.exit(main(sys.argv[1:]))
