"""The plan service as the settings want it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from bot.app.alertmanagers import alertmanagers_of
from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from bot.cluster.client.api import Api
from bot.domain.plan_policy import Policy
from bot.incidents.clusters import UnknownClusterError
from bot.incidents.plans import PlanService, PlanSettings
from bot.incidents.plans.service import Connect, Diagnose
from bot.incidents.plans.surroundings import Surroundings
from bot.remediation.cilium.chart import VendoredChart
from bot.remediation.requests import Supplies
from bot.settings import ClusterSettings, Settings
from bot.store import Store


def plan_settings(settings: Settings) -> PlanSettings:
    """What the settings say about plans."""
    return PlanSettings(
        mode=settings.remediation,
        policy=Policy(
            approvals=dict(settings.approvals),
            approval_rules=tuple(one.rule() for one in settings.approval_rules),
            not_from_slack=frozenset(settings.not_from_slack),
            typed_cluster=frozenset(settings.typed_cluster),
            reason_required=frozenset(settings.reason_required),
            quiet_hours=tuple(one.hours() for one in settings.quiet_hours),
            break_glass=settings.break_glass,
        ),
        supplies=_supplies(settings),
        expiry_s=settings.plan_expiry_s,
        admission_policy=settings.admission_policy,
        bot_namespace=settings.bot_namespace,
    )


def _supplies(settings: Settings) -> Supplies:
    """What plans install from."""
    cilium = settings.cilium
    chart = VendoredChart(archive=cilium.chart, sha256=cilium.sha256, helm=cilium.helm) if cilium else None
    helm = cilium.helm if cilium else "helm"
    return Supplies(chart=chart, helm=helm, image=settings.agent_image or DEFAULT_IMAGE)


def connecting(clusters: Mapping[str, ClusterSettings]) -> Connect:
    """The API of a cluster by its name in the settings."""

    def connect(name: str) -> AbstractAsyncContextManager[Api]:
        found = clusters.get(name)
        if found is None:
            raise UnknownClusterError(name, tuple(clusters))
        return Api.connect(found.kubeconfig, found.context)

    return connect


def plan_service(
    settings: Settings,
    store: Store,
    clusters: Mapping[str, ClusterSettings],
    diagnose: Diagnose,
    *,
    observed: Mapping[str, ClusterSettings] | None = None,
) -> PlanService:
    """The service; `diagnose` makes the diagnosis again that justified a plan.

    `clusters` are reached as whoever changes them, `observed` as whoever looks, where that is another account.
    """
    surroundings = Surroundings(store, alertmanagers_of(settings))
    return PlanService(
        store,
        connecting(clusters),
        diagnose,
        plan_settings(settings),
        surroundings=surroundings,
        observe=connecting(observed or clusters),
    )
