"""Of a pod's environment only addresses are kept, and these tell whom it dials."""

import pytest

from bot.cluster.objects import Container, EnvVar, Pod, PodSpec
from bot.cluster.snapshot.dialled import dialled, only_addresses


def container(*args: str, **env: str) -> Container:
    return Container(args=args, env=tuple(EnvVar(name=name, value=value) for name, value in env.items()))


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (container(API="http://api:8080/v1"), ["http://api:8080"]),
        (container(DSN="postgres://app:s3cret@db.shop:5432/orders?sslmode=off"), ["postgres://db.shop:5432"]),
        (container(CACHE="redis://:pw@cache/0"), ["redis://cache:6379"]),
        (container(DEPENDS_ON="db=db:5432 minio=minio:9000"), ["db:5432", "minio:9000"]),
        (container(KAFKA="a.mq.svc:9092,b.mq.svc:9092"), ["a.mq.svc:9092", "b.mq.svc:9092"]),
        (container(DB_HOST="db", DB_PORT="5432"), ["db:5432"]),
        (container(HOST="db"), ["db"]),
        (container(H="api", URL="http://$(H):81"), ["http://api:81"]),
        (container("--upstream=api.shop.svc.cluster.local:80"), ["api.shop.svc.cluster.local:80"]),
        (container("--target", "https://vault.shop"), ["https://vault.shop:443"]),
        (container(NAME="api", LEVEL="info", STARTED="12:30", IMAGE="sha256:12"), ["sha256:12"]),
        (container("--listen=0.0.0.0:80", "--probe=http://localhost:9/"), []),
        (container(API_SERVICE_HOST="10.43.0.7", API_PORT_80_TCP_ADDR="10.43.0.7"), []),
    ],
)
def test_whom_a_container_is_told_to_dial(made: Container, found: list[str]):
    assert [each.text for each in dialled(made)] == found


def test_nothing_else_of_the_environment_is_kept():
    made = container(DSN="postgres://app:s3cret@db:5432/x", TOKEN="abc", DB_HOST="db", DB_PORT="5432", HEAD="x:y@z")
    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)))).spec.containers[0]

    assert {each.name: each.value for each in kept.env} == {
        "DSN": "postgres://db:5432",
        "DB_HOST": "db:5432",
        "DB_PORT": "5432",
    }
    assert [each.text for each in dialled(kept)] == [each.text for each in dialled(made)]
