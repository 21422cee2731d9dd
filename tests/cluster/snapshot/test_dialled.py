"""Of a pod's environment only addresses are kept, and these tell whom it dials."""

import pytest

from bot.cluster.objects import Container, EnvVar, ExecAction, Pod, PodSpec, PodStatus, ProbeSpec
from bot.cluster.objects.pods import EnvVarSource, ObjectFieldSelector
from bot.cluster.snapshot.dialled import dialled, dialled_itself, only_addresses


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
        (
            container("--db=store.:5432", URL="http://store.shop.svc.:80/x"),
            ["http://store.shop.svc.:80", "store.:5432"],
        ),
        (container(URL="grpc://store.", DB_HOST="store.", DB_PORT="5432"), ["grpc://store./", "store.:5432"]),
        (container("sh", "-c", "wget http://store./ http://store.shop."), ["http://store.:80"]),
        (container("Say: see http://api.shop.svc.cluster.local."), ["http://api.shop.svc.cluster.local:80"]),
        (container(URL="http://10.0.0.7.", PEER="10.0.0.7.:81"), ["http://10.0.0.7:80", "10.0.0.7:81"]),
        (container(API_SERVICE_HOST="10.43.0.7", API_PORT_80_TCP_ADDR="10.43.0.7"), []),
    ],
)
def test_whom_a_container_is_told_to_dial(made: Container, found: list[str]):
    assert [each.text for each in dialled(made)] == found


def test_an_absolute_name_is_kept_as_such():
    made = container(ONE="grpc://store.", TWO="grpc://store. and grpc://cache./", DB_HOST="store.")
    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)))).spec.containers[0]

    assert [each.host for each in dialled(made)] == ["store.", "cache.", "store."]
    assert [each.host for each in dialled(kept)] == ["store.", "cache.", "store."]


def test_nothing_else_of_the_environment_is_kept():
    made = container(DSN="postgres://app:s3cret@db:5432/x", TOKEN="abc", DB_HOST="db", DB_PORT="5432", HEAD="x:y@z")
    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)))).spec.containers[0]

    assert {each.name: each.value for each in kept.env} == {
        "DSN": "postgres://db:5432",
        "DB_HOST": "db:5432",
        "DB_PORT": "5432",
    }
    assert [each.text for each in dialled(kept)] == [each.text for each in dialled(made)]


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (container(SIDECAR="http://localhost:9000/x"), ["http://localhost:9000"]),
        (container(DSN="postgres://app:s3cret@127.0.0.1/orders"), ["postgres://127.0.0.1:5432"]),
        (container("--upstream=http://[::1]:8080/"), ["http://[::1]:8080"]),
        (container("--backend", "127.0.0.1:8080"), ["127.0.0.1:8080"]),
        (container(CACHE_HOST="localhost"), ["localhost"]),
        (container("--listen=127.0.0.1:80", "--metrics-bind-address", "127.0.0.1:81"), []),
        (container(ADMIN_LISTEN="127.0.0.1:9901"), []),
        (container("--listen", "0.0.0.0:80", "--name=localhost.example", "127.0.0.1.example:80"), []),
        (container(API="http://api:8080"), []),
    ],
)
def test_whom_a_container_dials_in_its_own_pod(made: Container, found: list[str]):
    assert [each.text for each in dialled_itself(made)] == found
    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)))).spec.containers[0]
    assert [each.text for each in dialled_itself(kept)] == found


def test_of_a_probes_command_only_the_pods_own_addresses_are_kept():
    command = ("sh", "-c", "curl -H token:s3cret http://user:pw@localhost:8080/health || nc 10.0.0.5 80")
    probe = ProbeSpec(exec=ExecAction(command=command), period_seconds=3)
    made = Container(readiness_probe=probe, liveness_probe=ProbeSpec(exec=ExecAction(command=("redis-cli", "ping"))))
    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)))).spec.containers[0]

    assert kept.readiness_probe == ProbeSpec(exec=ExecAction(command=("http://localhost:8080",)), period_seconds=3)
    assert kept.liveness_probe == ProbeSpec(exec=ExecAction())


def test_the_address_of_the_pods_node_is_put_in_as_kubelet_does():
    field = EnvVarSource(field_ref=ObjectFieldSelector(field_path="status.hostIP"))
    name = EnvVarSource(field_ref=ObjectFieldSelector(field_path="metadata.name"))
    env = (
        EnvVar(name="NODE_IP", value_from=field),
        EnvVar(name="POD", value_from=name),
        EnvVar(name="AGENT_URL", value="http://$(NODE_IP):8126/v1"),
    )
    made = Container(env=env, args=("--statsd=$(NODE_IP):8125",))

    kept = only_addresses(Pod(spec=PodSpec(containers=(made,)), status=PodStatus(host_ip="172.30.0.11")))

    assert [each.text for each in dialled(kept.spec.containers[0])] == ["http://172.30.0.11:8126", "172.30.0.11:8125"]
