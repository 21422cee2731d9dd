"""Deployments: a ReplicaSet per version of the template, old ones making room for the newest."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.http.subresources import portion
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import seconds
from bot.lab.cluster.controllers import podsets
from bot.lab.cluster.controllers.loop import Mapper, itself
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
RESOURCE = "deployments.apps"
_REPLICA_SETS = "replicasets.apps"
REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAXIMUM = "deployment.kubernetes.io/max-replicas"
_HASH = "pod-template-hash"
_NOT_COPIED = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, _DESIRED, _MAXIMUM}


def _revision(obj: Obj) -> int:
    return int(sub(obj["metadata"], "annotations").get(REVISION, "0"))


def _template(replica_set: Obj) -> dict[str, Any]:
    """The template that a ReplicaSet was made from."""
    template = dict(replica_set["spec"]["template"])
    metadata = dict(sub(template, "metadata"))
    metadata["labels"] = {key: value for key, value in sub(metadata, "labels").items() if key != _HASH}
    return template | {"metadata": metadata}


def _same_template(replica_set: Obj, template: Obj) -> bool:
    mine = _template(replica_set)
    metadata = dict(sub(template, "metadata"))
    metadata["labels"] = sub(metadata, "labels")
    return mine == {**template, "metadata": metadata}


class Deployments:
    """The Deployment controller."""

    name = "deployment"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, "deployment-controller")

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Deployments and their ReplicaSets."""
        return {RESOURCE: itself, _REPLICA_SETS: podsets.claimed_by(self._storage, "Deployment", RESOURCE)}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """One step of the rollout."""
        deployment = self._storage.find(RESOURCE, name, namespace)
        if deployment is None:
            return None
        podsets.adopt(self._storage, _REPLICA_SETS, deployment)
        replica_sets = podsets.owned(self._storage, _REPLICA_SETS, deployment)
        if deployment["metadata"].get("deletionTimestamp"):
            return self._report(deployment, replica_sets, None)
        if deployment["spec"].get("paused"):
            newest = self._find_newest(deployment, replica_sets)
        else:
            newest = self._newest(deployment, replica_sets)
            replica_sets = podsets.owned(self._storage, _REPLICA_SETS, deployment)
        if newest is not None:
            self._roll(deployment, newest, [each for each in replica_sets if _uid(each) != _uid(newest)])
        replica_sets = podsets.owned(self._storage, _REPLICA_SETS, deployment)
        self._clean_up(deployment, newest, replica_sets)
        return self._report(deployment, replica_sets, newest)

    @staticmethod
    def _find_newest(deployment: Obj, replica_sets: list[Obj]) -> Obj | None:
        template = deployment["spec"]["template"]
        same = [each for each in replica_sets if _same_template(each, template)]
        return min(same, key=lambda each: each["metadata"]["creationTimestamp"], default=None)

    def _newest(self, deployment: Obj, replica_sets: list[Obj]) -> Obj:
        """The ReplicaSet of the present template, made or renumbered when it is not the last revision."""
        found = self._find_newest(deployment, replica_sets)
        others = [each for each in replica_sets if found is None or _uid(each) != _uid(found)]
        revision = max((_revision(each) for each in others), default=0) + 1
        if found is None:
            found = self._create(deployment, revision)
        elif _revision(found) < revision:
            self._annotate(found, {REVISION: str(revision)})
        wanted = self._storage.record(_REPLICA_SETS, found["metadata"]["name"], _namespace(deployment)).obj
        if sub(deployment["metadata"], "annotations").get(REVISION) != str(_revision(wanted)):
            self._annotate(deployment, {REVISION: str(_revision(wanted))}, RESOURCE)
        return wanted

    def _annotate(self, obj: Obj, annotations: dict[str, str], resource: str = _REPLICA_SETS) -> None:
        change = {"metadata": {"annotations": annotations}}
        self._storage.patch(resource, obj["metadata"]["name"], _namespace(obj), change)

    def _create(self, deployment: Obj, revision: int) -> Obj:
        spec, metadata = deployment["spec"], deployment["metadata"]
        digest = podsets.template_hash(spec["template"])
        template = dict(spec["template"])
        labels = {**sub(sub(template, "metadata"), "labels"), _HASH: digest}
        template["metadata"] = {**sub(template, "metadata"), "labels": labels}
        selector = dict(spec["selector"])
        selector["matchLabels"] = {**sub(selector, "matchLabels"), _HASH: digest}
        copied = {k: v for k, v in sub(metadata, "annotations").items() if k not in _NOT_COPIED}
        annotations = {**copied, **self._sizes(deployment), REVISION: str(revision)}
        replicas = 0 if deployment["spec"]["strategy"]["type"] == "Recreate" else self._allowed_new(deployment)
        replica_set: dict[str, Any] = {
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [podsets.owner_reference(deployment)],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        }
        if "minReadySeconds" in spec:
            replica_set["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        created = self._storage.create(_REPLICA_SETS, replica_set, namespace=metadata["namespace"])
        if replicas:
            self._say_scaled(deployment, created, 0, replicas)
        return created

    def _sizes(self, deployment: Obj) -> dict[str, str]:
        replicas = deployment["spec"]["replicas"]
        surge, _ = _limits(deployment)
        return {_DESIRED: str(replicas), _MAXIMUM: str(replicas + surge)}

    def _allowed_new(self, deployment: Obj) -> int:
        """How many pods the newest ReplicaSet may start with."""
        others = podsets.owned(self._storage, _REPLICA_SETS, deployment)
        surge, _ = _limits(deployment)
        room = deployment["spec"]["replicas"] + surge - sum(each["spec"]["replicas"] for each in others)
        return max(0, min(deployment["spec"]["replicas"], room))

    def _roll(self, deployment: Obj, newest: Obj, old: list[Obj]) -> None:
        running = [each for each in old if each["spec"]["replicas"]]
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, newest, old)
        elif not running:
            self._scale(deployment, newest, deployment["spec"]["replicas"])
        elif deployment["spec"].get("paused"):
            self._scale_proportionally(deployment, newest, running)
        else:
            self._scale_up(deployment, newest, old)
            self._scale_down(deployment, self._again(newest), running)
        for each in (newest, *running):
            present = self._again(each)
            sizes = self._sizes(deployment)
            if present["spec"]["replicas"] and not sizes.items() <= present["metadata"]["annotations"].items():
                self._annotate(present, sizes)

    def _recreate(self, deployment: Obj, newest: Obj, old: list[Obj]) -> None:
        """Everything old ends, terminating pods included, before anything new begins."""
        for each in old:
            self._scale(deployment, each, 0)
        if not any(podsets.owned(self._storage, "pods", each) for each in old):
            self._scale(deployment, newest, deployment["spec"]["replicas"])

    def _again(self, obj: Obj) -> Obj:
        return self._storage.record(_REPLICA_SETS, obj["metadata"]["name"], _namespace(obj)).obj

    def _scale_proportionally(self, deployment: Obj, newest: Obj, running: list[Obj]) -> None:
        """A paused rollout that is scaled: only the largest set follows, the others stay as they are."""
        total = newest["spec"]["replicas"] + sum(each["spec"]["replicas"] for each in running)
        surge, _ = _limits(deployment)
        surplus = deployment["spec"]["replicas"] + (surge if newest["spec"]["replicas"] else 0) - total
        largest = max((newest, *running), key=lambda each: each["spec"]["replicas"])
        if surplus and newest["spec"]["replicas"] + surplus >= 0:
            self._scale(deployment, largest, max(0, largest["spec"]["replicas"] + surplus))

    def _scale_up(self, deployment: Obj, newest: Obj, old: list[Obj]) -> None:
        wanted, present = deployment["spec"]["replicas"], newest["spec"]["replicas"]
        surge, _ = _limits(deployment)
        room = wanted + surge - present - sum(each["spec"]["replicas"] for each in old)
        if present < wanted and room > 0:
            self._scale(deployment, newest, min(wanted, present + room))
        elif present > wanted:
            self._scale(deployment, newest, wanted)

    def _scale_down(self, deployment: Obj, newest: Obj, running: list[Obj]) -> None:
        """Take pods from old sets: first those that do not work, then as many as new ones replace."""
        _, unavailable = _limits(deployment)
        must = deployment["spec"]["replicas"] - unavailable
        sets = [newest, *running]
        total = sum(each["spec"]["replicas"] for each in sets)
        new_missing = newest["spec"]["replicas"] - newest["status"].get("availableReplicas", 0)
        budget = total - must - new_missing
        available = sum(each["status"].get("availableReplicas", 0) for each in sets)
        oldest_first = sorted(running, key=lambda each: each["metadata"]["creationTimestamp"])
        sizes = {_uid(each): each["spec"]["replicas"] for each in oldest_first}
        for each in oldest_first:
            broken = sizes[_uid(each)] - each["status"].get("availableReplicas", 0)
            step = max(0, min(broken, budget))
            sizes[_uid(each)] -= step
            budget -= step
        spare = available - must
        for each in oldest_first:
            step = max(0, min(sizes[_uid(each)], spare, budget))
            sizes[_uid(each)] -= step
            spare -= step
            budget -= step
        for each in oldest_first:
            self._scale(deployment, each, sizes[_uid(each)])

    def _scale(self, deployment: Obj, replica_set: Obj, replicas: int) -> None:
        before = replica_set["spec"]["replicas"]
        if before == replicas:
            return
        change = {"spec": {"replicas": replicas}, "metadata": {"annotations": self._sizes(deployment)}}
        self._storage.patch(_REPLICA_SETS, replica_set["metadata"]["name"], _namespace(replica_set), change)
        self._say_scaled(deployment, replica_set, before, replicas)

    def _say_scaled(self, deployment: Obj, replica_set: Obj, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        message = f"Scaled {way} replica set {replica_set['metadata']['name']} from {before} to {after}"
        self._recorder.event(deployment, "ScalingReplicaSet", message)

    def _clean_up(self, deployment: Obj, newest: Obj | None, replica_sets: list[Obj]) -> None:
        """Delete the oldest empty ReplicaSets beyond the history limit."""
        old = [
            each
            for each in replica_sets
            if (newest is None or _uid(each) != _uid(newest))
            and not each["spec"]["replicas"]
            and not each["status"].get("replicas")
        ]
        surplus = len(old) - deployment["spec"].get("revisionHistoryLimit", 10)
        for each in sorted(old, key=_revision)[: max(surplus, 0)]:
            self._storage.delete(_REPLICA_SETS, each["metadata"]["name"], _namespace(each))

    def _report(self, deployment: Obj, replica_sets: list[Obj], newest: Obj | None) -> None:
        def total(key: str, sets: list[Obj]) -> int:
            return sum(each["status"].get(key, 0) for each in sets)

        metadata, wanted = deployment["metadata"], deployment["spec"]["replicas"]
        live = self._storage.record(RESOURCE, metadata["name"], metadata["namespace"]).obj
        replicas, available = total("replicas", replica_sets), total("availableReplicas", replica_sets)
        fresh = [self._again(newest)] if newest is not None else []
        updated = total("replicas", fresh)
        numbers = {
            "replicas": replicas,
            "updatedReplicas": updated,
            "readyReplicas": total("readyReplicas", replica_sets),
            "availableReplicas": available,
            "unavailableReplicas": max(0, replicas - available, wanted - available),
        }
        status: dict[str, Any] = {key: value or None for key, value in numbers.items()}
        status["terminatingReplicas"] = total("terminatingReplicas", replica_sets)
        status["observedGeneration"] = live["metadata"]["generation"]
        _, unavailable = _limits(deployment)
        done = updated == wanted == replicas == available
        name = fresh[0]["metadata"]["name"] if fresh else metadata["name"]
        status["conditions"] = self._conditions(live, name, enough=available >= wanted - unavailable, done=done)
        self._storage.patch(RESOURCE, metadata["name"], metadata["namespace"], {"status": status}, subresource="status")

    def _conditions(self, live: Obj, name: str, *, enough: bool, done: bool) -> list[dict[str, Any]]:
        words = ("has", "MinimumReplicasAvailable") if enough else ("does not have", "MinimumReplicasUnavailable")
        message = f"Deployment {words[0]} minimum availability."
        progress = ("NewReplicaSetAvailable", "has successfully progressed.")
        if not done:
            progress = ("ReplicaSetUpdated", "is progressing.")
        return [
            self._condition(live, "Available", words[1], message, status=enough),
            self._condition(live, "Progressing", progress[0], f'ReplicaSet "{name}" {progress[1]}', status=True),
        ]

    def _condition(self, live: Obj, kind: str, reason: str, message: str, *, status: bool) -> dict[str, Any]:
        now = seconds(self._storage.now())
        new: dict[str, Any] = {"type": kind, "status": str(status), "reason": reason, "message": message}
        old = next((c for c in items_of(live["status"], "conditions") if c["type"] == kind), None)
        if old and all(old.get(key) == value for key, value in new.items()):
            return dict(old)
        changed_at = old["lastTransitionTime"] if old and old["status"] == new["status"] else now
        return new | {"lastUpdateTime": now, "lastTransitionTime": changed_at}


def _uid(obj: Obj) -> str:
    return obj["metadata"]["uid"]


def _namespace(obj: Obj) -> str:
    return obj["metadata"]["namespace"]


def _limits(deployment: Obj) -> tuple[int, int]:
    """How many pods may be too many, and how many may be missing, during a rollout."""
    replicas, strategy = deployment["spec"]["replicas"], deployment["spec"]["strategy"]
    if strategy["type"] == "Recreate":
        return 0, 0
    surge = portion(strategy["rollingUpdate"]["maxSurge"], replicas, up=True)
    unavailable = portion(strategy["rollingUpdate"]["maxUnavailable"], replicas, up=False)
    return surge, unavailable if surge or unavailable else 1
