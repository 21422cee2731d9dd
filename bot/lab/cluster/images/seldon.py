"""Seldon Core v2: the scheduler, and model servers whose agent dials it on 9004.

Source: https://github.com/SeldonIO/seldon-core (scheduler/pkg/agent: port 9005 is the agents', 9004 the clients')
"""

from __future__ import annotations

import time

from bot.lab.cluster.images.registry import SHELL, Container, Image
from bot.lab.cluster.images.serving import Dependencies, forever, in_background, now, serve_grpc, serve_http, serve_tcp


def _scheduler(container: Container) -> None:
    for port in map(int, container.env.get("SCHEDULER_PORTS", "9002 9004 9005 9008").split()):
        serve_grpc(port, container.env.get("SCHEDULER_BIND", "0.0.0.0"))
        print(f'time="{now()}" level=info msg="Scheduler listening" port={port}')
    serve_http(8082, {"/ready": lambda: (200, "ok"), "/live": lambda: (200, "ok")})
    forever()


def _model(container: Container) -> None:
    host = container.env.get("SELDON_SCHEDULER_HOST", "seldon-scheduler")
    port = int(container.env.get("SELDON_SCHEDULER_PORT", "9004"))
    scheduler = Dependencies({"scheduler": (host, port)})

    def log(_: str, error: str | None) -> None:
        if error is None:
            print(f'time="{now()}" level=info msg="Connected to scheduler" host={host} port={port}')
            return
        description = f'connection error: desc = \\"transport: Error while dialing: {error}\\"'
        print(
            f'time="{now()}" level=error msg="Failed to connect to scheduler" '
            f'error="rpc error: code = Unavailable desc = {description}"'
        )

    def ready() -> tuple[int, str]:
        return (503, "not connected to scheduler\n") if scheduler.failing else (200, "ok\n")

    serve_http(9000, {"/v2/health/ready": ready, "/v2/health/live": lambda: (200, "ok"), "*": lambda: (200, "{}")})
    serve_tcp(9500)
    in_background(lambda: scheduler.watch(log))
    forever()


def _controller(container: Container) -> None:
    host = container.env.get("SELDON_SCHEDULER_HOST", "seldon-scheduler")
    scheduler = Dependencies({"scheduler": (host, 9004)}, every_s=2.0)
    in_background(
        lambda: scheduler.watch(
            lambda _, error: print(
                f"{now()}\t{'ERROR' if error else 'INFO'}\tscheduler-client\t{error or 'subscribed'}"
            )
        )
    )
    while True:
        time.sleep(60)


IMAGES = (
    Image(name="seldonio/seldon-scheduler", main=_scheduler),
    Image(name="seldonio/mlserver", main=_model, programs=(*SHELL, "bash")),
    Image(name="seldonio/seldon-agent", main=_model),
    Image(name="seldonio/seldonv2-controller", main=_controller),
)
