"""What must not leave a cluster with a recording: values that look like secrets."""

import re
from typing import TypeVar

import msgspec

from bot.cluster.objects import AgentContainer, Container, DaemonSet, Deployment, EnvVar, ReplicaSet
from bot.cluster.snapshot.scope import CONNECTIVITY_NAMESPACES

_SECRET_NAME = re.compile(r"TOKEN|PASSW|SECRET|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|AUTH", re.IGNORECASE)

Workload = TypeVar("Workload", Deployment, ReplicaSet)


def without_environment(workload: Workload) -> Workload:
    """The workload without the environment in its template: its pods say whom they dial."""
    template = workload.spec.template
    pod = msgspec.structs.replace(
        template.spec,
        containers=tuple(map(_bare, template.spec.containers)),
        init_containers=tuple(map(_bare, template.spec.init_containers)),
    )
    spec = msgspec.structs.replace(workload.spec, template=msgspec.structs.replace(template, spec=pod))
    return msgspec.structs.replace(workload, spec=spec)


def _bare(container: Container) -> Container:
    return msgspec.structs.replace(container, env=()) if container.env else container


def without_secrets(daemon_set: DaemonSet) -> DaemonSet:
    """The DaemonSet with the environment of connectivity agents only, and of that nothing named like a secret."""
    is_agent = daemon_set.metadata.namespace in CONNECTIVITY_NAMESPACES

    def cleaned(container: AgentContainer) -> AgentContainer:
        env = tuple(_masked(variable) for variable in container.env) if is_agent else ()
        return msgspec.structs.replace(container, env=env)

    template = daemon_set.spec.template
    spec = msgspec.structs.replace(
        template.spec,
        containers=tuple(map(cleaned, template.spec.containers)),
        init_containers=tuple(map(cleaned, template.spec.init_containers)),
    )
    template = msgspec.structs.replace(template, spec=spec)
    return msgspec.structs.replace(daemon_set, spec=msgspec.structs.replace(daemon_set.spec, template=template))


def _masked(variable: EnvVar) -> EnvVar:
    if variable.value and _SECRET_NAME.search(variable.name):
        return EnvVar(name=variable.name, value="(hidden)")
    return variable
