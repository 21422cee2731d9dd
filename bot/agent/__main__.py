"""`python -m bot.agent` (`cnibot-agent`): a task on stdin, one line of JSON; a report on stdout, one JSON document."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bot.agent.collect import Survey, host_root_of
from bot.agent.encode import encode
from bot.agent.report import Missing, NodeReport, Task
from bot.agent.task import TASK_BYTES, TaskError, decode_task
from bot.agent.trace.follow import Following
from bot.agent.trace.gate import alone, by_standard_streams

MALFORMED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 with a report (partial ones too), 2 for a malformed task, with a sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        task, unknown = decode_task(_read_task(options.task))
    except (TaskError, OSError) as error:
        print(f"cnibot-agent: {error}", file=sys.stderr)
        return MALFORMED
    host_root = host_root_of(options.host_root or os.environ.get("HOST_ROOT"))
    if task.follow:
        gate = alone if options.task else by_standard_streams
        report = asyncio.run(Following(task, unknown, host_root, gate).run())
    else:
        report = asyncio.run(survey(task, unknown, host_root))
    sys.stdout.write(encode(report, is_pretty=options.pretty) + "\n")
    sys.stdout.flush()
    return 0


async def survey(task: Task, unknown: tuple[Missing, ...], host_root: str) -> NodeReport:
    """The report; SIGTERM and SIGINT end it early with what is there."""
    run = Survey(task, unknown, host_root)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, run.stop, f"stopped by {number.name}")
    return await run.run()


def _read_task(path: str | None) -> bytes:
    if path:
        return Path(path).read_bytes()
    return sys.stdin.buffer.readline(TASK_BYTES + 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnibot-agent", description=__doc__)
    parser.add_argument("--task", metavar="FILE", help="read the task from a file instead of stdin")
    parser.add_argument("--pretty", action="store_true", help="indent the report")
    parser.add_argument(
        "--host-root",
        metavar="DIR",
        help="where the node's file system is seen (default: $HOST_ROOT, else /proc/1/root)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
