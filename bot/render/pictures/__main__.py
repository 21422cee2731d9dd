"""The child that draws: JSON on standard input, JSON with PNGs on standard output.

It imports matplotlib, 60 MB and most of a second, and ends; so the bot itself stays small.
"""

import os
import resource
import sys

import msgspec

from bot.render.pictures.artist import CPU_S, Drawn, DrawRequest
from bot.render.pictures.fonts import prepare


def main() -> None:
    """Draw what was ordered, or (`fonts`) make the list of fonts ahead."""
    if sys.argv[1:] == ["fonts"]:
        prepare()
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    os.nice(10)  # nobody waits for a picture
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=DrawRequest)
    from bot.render.pictures.matrix_drawing import draw_matrix  # noqa: PLC0415 - only the child may import matplotlib
    from bot.render.pictures.path_drawing import draw_way  # noqa: PLC0415

    drawn = Drawn(
        matrix=draw_matrix(request.matrix) if request.matrix else None,
        way=draw_way(request.way) if request.way else None,
    )
    sys.stdout.buffer.write(msgspec.json.encode(drawn))


if __name__ == "__main__":
    main()
