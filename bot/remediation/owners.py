"""Who reconciles an object: whatever is changed behind an owner's back comes back, at times within seconds.

Source: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/ (annotation, and the label before 3.0)
Source: https://fluxcd.io/flux/components/kustomize/kustomizations/ and …/helm/helmreleases/ (labels on what they apply)
Source: https://helm.sh/docs/chart_best_practices/labels/ (managed-by, meta.helm.sh/release-name)
Source: https://docs.k3s.io/installation/packaged-components (objectset.rio.cattle.io, addons and HelmCharts)
Source: https://github.com/kubernetes/kubernetes/tree/master/cluster/addons/addon-manager (Reconcile)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.cluster.writer import Object
from bot.domain.plan import value_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who has the last word on an object, and how it is changed there."""

    name: str
    """ "Argo CD application network"."""
    how: str
    """What to do instead, as a sentence."""
    is_helm: bool = False
    """A release that people upgrade by hand: it undoes nothing by itself."""
    is_operator: bool = False
    """The Tigera operator."""
    release: str = ""
    """Its name, "" where the object does not say it."""
    namespace: str = ""
    """The release's."""

    @property
    def is_planned_for(self) -> bool:
        """Whether a plan may roll back there, and not only a person."""
        return self.is_operator or bool(self.release)


def owner_of(obj: Object) -> Owner | None:
    """Whoever would undo a change of the object; None where nobody is known to."""
    metadata: Mapping[str, Any] = value_at(obj, ("metadata",)) or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    return (
        _gitops(labels, annotations)
        or _operator(metadata)
        or _rancher(annotations)
        or _helm(labels, annotations, str(metadata.get("namespace", "")))
        or _addon(labels)
    )


def _gitops(labels: Mapping[str, str], annotations: Mapping[str, str]) -> Owner | None:
    tracking = annotations.get("argocd.argoproj.io/tracking-id", "")
    application = tracking.partition(":")[0] or labels.get("argocd.argoproj.io/instance", "")
    if application:
        return Owner(
            name=f"Argo CD application {application}",
            how=f"Revert the commit in its repository, or run: argocd app rollback {application}",
        )
    for kind in ("kustomize", "helm"):
        name = labels.get(f"{kind}.toolkit.fluxcd.io/name", "")
        if name:
            namespace = labels.get(f"{kind}.toolkit.fluxcd.io/namespace", "")
            resource = "Kustomization" if kind == "kustomize" else "HelmRelease"
            command = f"flux reconcile {resource.lower()} {name} --namespace {namespace} --with-source"
            return Owner(
                name=f"Flux {resource} {namespace}/{name}",
                how=f"Revert the commit in its repository, then run: {command}",
            )
    return None


def _operator(metadata: Mapping[str, Any]) -> Owner | None:
    for reference in metadata.get("ownerReferences") or ():
        if str(reference.get("apiVersion", "")).startswith("operator.tigera.io/"):
            kind, name = reference.get("kind"), reference.get("name")
            return Owner(
                name=f"the Tigera operator ({kind} {name})",
                how=f"Change the {kind} ({kind}.operator.tigera.io/{name}) or roll the operator's own release back.",
                is_operator=True,
            )
        if reference.get("controller"):
            kind, name = reference.get("kind"), reference.get("name")
            return Owner(name=f"its controller ({kind} {name})", how=f"Change {kind} {name} instead.")
    return None


def _rancher(annotations: Mapping[str, str]) -> Owner | None:
    kind = annotations.get("objectset.rio.cattle.io/owner-gvk", "")
    if not kind:
        return None
    name = annotations.get("objectset.rio.cattle.io/owner-name", "")
    return Owner(
        name=f"K3s, RKE2 or Rancher ({kind.rpartition('Kind=')[2]} {name})",
        how=f"Change the HelmChart, HelmChartConfig or manifest {name} on the servers: their files have the last word.",
    )


def _helm(labels: Mapping[str, str], annotations: Mapping[str, str], namespace: str) -> Owner | None:
    release = annotations.get("meta.helm.sh/release-name", "")
    if not release and labels.get("app.kubernetes.io/managed-by") != "Helm":
        return None
    where = annotations.get("meta.helm.sh/release-namespace", "") or namespace
    shown = release or "RELEASE"
    return Owner(
        name=f"Helm release {where}/{shown}",
        how=f"See: helm history {shown} --namespace {where}. Then: helm rollback {shown} REVISION --namespace {where}",
        is_helm=True,
        release=release,
        namespace=where,
    )


def _addon(labels: Mapping[str, str]) -> Owner | None:
    if labels.get("addonmanager.kubernetes.io/mode") == "Reconcile":
        return Owner(
            name="the addon manager", how="Change the addon's manifest on the control plane, or ask the provider."
        )
    if labels.get("eks.amazonaws.com/component"):
        return Owner(name="an EKS addon", how="Change the addon's version or configuration: aws eks update-addon")
    return None
