"""What the most frequent verdicts of the application's side ask for: a pod made anew, a Service's field, replicas."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, controller_of, target_of
from bot.domain.foreign import whole_number
from bot.domain.plan import Delete, Replace, Replaced, RolledOut, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.owners import owner_of

POD_S = 180.0
MOST_REPLICAS = 100


def recreate_pod(pod: Object, owner: Object | None, owner_path: str) -> Draft:
    """Delete one pod, which its owner makes again. Errors: `NotPlannedError`."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    target = target_of(pod, "Pod", api_path("pods", namespace=namespace, name=name))
    reference = controller_of(pod)
    if reference is None or owner is None:
        raise NotPlannedError(f"{target} would not come back: it has no controller.", "Recreate it by hand.")
    if value_at(pod, ("metadata", "deletionTimestamp")):
        raise NotPlannedError(f"{target} is being deleted already.")
    if reference["kind"] not in {"ReplicaSet", "StatefulSet", "DaemonSet"}:
        raise NotPlannedError(f"{target} belongs to a {reference['kind']}, which may not recreate it.")
    main = target_of(owner, str(reference["kind"]), owner_path)
    node = str(value_at(pod, ("spec", "nodeName")) or "") if reference["kind"] == "DaemonSet" else ""
    step = Step(
        title=f"delete {target}",
        do=Delete(target=target),
        verify=(Replaced(owner=main, uid=target.uid, node=node),),
        within_s=POD_S,
        undo="not-needed",
    )
    return Draft(
        action="recreate-pod",
        title=f"recreate pod {namespace}/{name}",
        risk="r1",
        main=main,
        former_mark=mark_on(owner),
        steps=(step,),
        expected_s=30.0,
        disruption=f"{target} ends and {main} makes another, which may run on another node. Its local data is lost.",
        affected=(str(target),),
    )


def correct_target_port(service: Object, port: str, wanted: str) -> Draft:
    """Send one port of a Service to another port of its pods. Errors: `NotPlannedError`."""
    main = _service(service)
    ports: Sequence[Mapping[str, Any]] = value_at(service, ("spec", "ports")) or ()
    named = [one for one in ports if port in {str(one.get("port")), one.get("name"), ""}]
    if len(named) != 1:
        listed = ", ".join(f"{one.get('name') or one.get('port')}" for one in ports)
        raise NotPlannedError(f"Which port of {main}? It has: {listed}.")
    number = whole_number(wanted)
    target_port: int | str = wanted if number is None else number
    if named[0].get("targetPort") == target_port:
        raise NotPlannedError(f"Port {port or named[0].get('port')} of {main} has the targetPort {wanted} already.")
    after = [{**one, "targetPort": target_port} if one is named[0] else one for one in ports]
    return _field(
        service, main, ("spec", "ports"), after, action="correct-target-port",
        title=f"send {main.namespace}/{main.name}:{named[0].get('port')} to targetPort {wanted}",
    )  # fmt: skip


def correct_selector(service: Object, wanted: Mapping[str, str], pods: Sequence[Object]) -> Draft:
    """Give a Service another selector, which must choose pods that exist. Errors: `NotPlannedError`."""
    main = _service(service)
    if not wanted:
        raise NotPlannedError("An empty selector chooses nothing.")
    if not any(wanted.items() <= (value_at(pod, ("metadata", "labels")) or {}).items() for pod in pods):
        raise NotPlannedError(f"No pod in {main.namespace} has these labels: {_labels(wanted)}.")
    return _field(
        service, main, ("spec", "selector"), dict(wanted), action="correct-selector",
        title=f"let {main.namespace}/{main.name} select {_labels(wanted)}",
    )  # fmt: skip


def scale(deployment: Object, replicas: int) -> Draft:
    """Scale a Deployment. Errors: `NotPlannedError`."""
    metadata = deployment["metadata"]
    path = api_path("deployments", group="apps", namespace=metadata["namespace"], name=metadata["name"])
    main = target_of(deployment, "Deployment", path)
    if not 0 < replicas <= MOST_REPLICAS:
        raise NotPlannedError(f"A plan scales to between 1 and {MOST_REPLICAS} replicas.")
    if value_at(deployment, ("spec", "replicas")) == replicas:
        raise NotPlannedError(f"{main} has {replicas} replicas already.")
    return _field(
        deployment, main, ("spec", "replicas"), replicas, action="scale",
        title=f"scale {main.namespace}/{main.name} to {replicas}", verify=(RolledOut(target=main),),
    )  # fmt: skip


def _service(service: Object) -> Target:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    return target_of(service, "Service", api_path("services", namespace=namespace, name=name))


def _field(
    obj: Object,
    main: Target,
    field: tuple[str, ...],
    after: Any,
    *,
    action: str,
    title: str,
    verify: tuple[RolledOut, ...] = (),
) -> Draft:
    """One field of an object that nobody else reconciles."""
    owner = owner_of(obj)
    if owner:
        raise NotPlannedError(f"{main} belongs to {owner.name}, which would undo the change.", owner.how)
    do = Replace(target=main, field=field, before=value_at(obj, field), after=after)
    return Draft(
        action=action,
        title=title,
        risk="r1",
        main=main,
        former_mark=mark_on(obj),
        steps=(Step(title=title, do=do, verify=verify, within_s=POD_S),),
        expected_s=15.0,
        disruption=f"Connections through {main} may be cut." if main.kind == "Service" else "None.",
        affected=(str(main),),
        warnings=("Its manifest still has the old value: change it there too.",),
    )


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
