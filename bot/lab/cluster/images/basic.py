"""Images without an application: pause, a shell to type in, tools, the node agent's image."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import bot
from bot.lab.cluster.images.registry import SHELL, TOOLS, Container, Image
from bot.lab.cluster.images.serving import forever, serve_http


def _sleep(_: Container) -> None:
    forever()


def _agnhost(container: Container) -> None:
    port = int(container.env.get("PORT", "8080"))
    serve_http(port, {"*": lambda: (200, container.env.get("HOSTNAME", "") + "\n")})
    forever()


def _python_script(arguments: str) -> str:
    """Runs the interpreter that cnibot is installed in, as in the image."""
    root = Path(bot.__file__).resolve().parent.parent
    paths = ":".join(shlex.quote(path) for path in [str(root), *(path for path in sys.path if "site-packages" in path)])
    return f'#!/bin/sh\nPYTHONPATH={paths} exec {shlex.quote(sys.executable)} {arguments} "$@"\n'


IMAGES = (
    Image(name="registry.k8s.io/pause", main=_sleep),
    Image(name="registry.k8s.io/e2e-test-images/agnhost", main=_agnhost, programs=SHELL, entrypoints=("/agnhost",)),
    Image(name="busybox", main=_sleep, has_entrypoint=False, programs=(*SHELL, "ip", "ping")),
    Image(name="alpine", main=_sleep, has_entrypoint=False, programs=(*SHELL, "ip", "ping")),
    Image(name="debian", main=_sleep, has_entrypoint=False, programs=(*SHELL, "bash")),
    Image(name="nicolaka/netshoot", main=_sleep, has_entrypoint=False, programs=TOOLS),
    Image(name="gcr.io/distroless/static", main=_agnhost),
    # What node agents run: this checkout, whatever the tag.
    *(
        Image(
            name=name,
            main=_sleep,
            has_entrypoint=False,
            programs=("sh", "env", "sleep", "sed", "cat", "true", "rm", "mv", "ip", "nft", "iptables-save"),
            scripts={
                "cnibot": _python_script("-m bot"),
                "cnibot-agent": _python_script("-m bot.agent"),
                "python3": _python_script(""),
            },
            entrypoints=("cnibot-agent",),
        )
        for name in ("cnibot:lab", "ghcr.io/cnibot/cnibot")
    ),
)
