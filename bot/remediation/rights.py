"""The permissions that carrying a plan out needs: asked of whoever approves in the terminal, granted in `deploy/`."""

from collections.abc import Mapping

from bot.cluster.client.api import Api
from bot.cluster.client.paths import Attributes, attributes
from bot.domain.access import Need
from bot.domain.plan import Change, Create, Delete, Evict, HelmRollback, Plan, Recheck, Remove, Replace, Restart
from bot.remediation.actions.restore import CALICO_GROUP, TIGERA_GROUP


def _changing(*resources: str, group: str = "") -> tuple[Need, ...]:
    """To read such objects, and to change a field of theirs: each plan marks the object that it has in hand."""
    return tuple(Need(verb=verb, group=group, resource=each) for each in resources for verb in ("get", "patch"))


_DELETING_PODS = (Need(verb="get", resource="pods"), Need(verb="delete", resource="pods"))
_EVICTING_PODS = (Need(verb="get", resource="pods"), Need(verb="create", resource="pods/eviction"))

ACTION_NEEDS: Mapping[str, tuple[Need, ...]] = {
    "roll-back": _changing("daemonsets", "deployments", group="apps"),
    "restart-agents": (*_changing("daemonsets", group="apps"), *_changing("nodes"), *_DELETING_PODS),
    "recreate-pod": (*_changing("daemonsets", "replicasets", "statefulsets", group="apps"), *_DELETING_PODS),
    "correct-target-port": _changing("services"),
    "correct-selector": _changing("services"),
    "scale": _changing("deployments", group="apps"),
    "cordon": _changing("nodes"),
    "uncordon": _changing("nodes"),
    "drain": (*_changing("nodes"), *_EVICTING_PODS),
    "restore": (
        *_changing("configmaps"),
        *_changing("felixconfigurations", "ippools", group=CALICO_GROUP),
        *_changing("installations", group=TIGERA_GROUP),
    ),
}
"""What each action writes, and reads besides what a diagnosis reads."""

INSTALLING = frozenset({"install-cilium", "migrate-to-cilium", "roll-back-helm-chart", "roll-back-release"})
"""Actions that make ClusterRoles and privileged pods, or may: whatever is in a Helm release, and a HelmChart names what
an administrator's account installs. No role is generated for them: an administrator carries them out, with their own
rights or with credentials that are made for it and end soon after. Whoever plans the last two reads the Secrets in
which Helm keeps the release, and whoever carries the last one out."""

EXECUTOR_NEEDS: tuple[Need, ...] = tuple(dict.fromkeys(need for needs in ACTION_NEEDS.values() for need in needs))
"""What all actions together need."""


async def missing_rights(plan: Plan, api: Api) -> tuple[str, ...]:
    """Those of the plan's writes that these credentials may not make: "patch daemonsets.apps in kube-system"."""
    found: list[str] = []
    for step in (*plan.steps, *plan.back):
        if isinstance(step.do, Recheck):
            continue
        for asked in _asked(step.do):
            is_allowed = await api.can_i(
                asked.verb, asked.resource, namespace=asked.namespace, group=asked.group, name=asked.name
            )
            if not is_allowed:
                found.append(f"{asked.verb} {asked.what}")
    return tuple(dict.fromkeys(found))


def _asked(do: Change) -> tuple[Attributes, ...]:
    """The requests that it takes. Which pods will be meant is not known yet: any of them."""
    if isinstance(do, Evict):
        return (Attributes(verb="create", resource="pods/eviction"),)
    if isinstance(do, HelmRollback):
        verbs = ("get", "list", "create", "update", "delete")  # Helm forgets its oldest revisions
        own = [Attributes(verb=verb, resource="secrets", namespace=do.namespace) for verb in verbs]
        return (*own, *(attributes(method, path) for method, path in do.requests))
    if isinstance(do, Restart):
        namespace = do.target.namespace
        exec_ = Attributes(verb="create", resource="pods/exec", namespace=namespace)
        return Attributes(verb="delete", resource="pods", namespace=namespace), exec_
    return (attributes(*_request(do)),)


def _request(do: Replace | Create | Remove | Delete) -> tuple[str, str]:
    """The method and path by which it is done."""
    if isinstance(do, Replace):
        return "PATCH", do.target.path
    if isinstance(do, Create):
        return "POST", do.target.path.rpartition("/")[0]
    if isinstance(do, Remove):
        return "DELETE", do.target.path
    return ("POST", f"{do.target.path}/eviction") if do.is_eviction else ("DELETE", do.target.path)
