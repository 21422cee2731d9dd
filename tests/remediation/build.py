"""Plans for tests."""

from __future__ import annotations

from typing import Any

from bot.domain.plan import Person, Plan, Replace, Step, Target
from bot.domain.plan_life import Approval, PlanRecord

ALICE = Person(realm="slack", name="U0ALICE")
BOB = Person(realm="slack", name="U0BOB")
CAROL = Person(realm="slack", name="U0CAROL")
ROOT = Person(realm="kubernetes", name="alice@example.org")
NOW = 1_800_000_000.0
EXPIRY_S = 900.0


def target(name: str = "web", *, kind: str = "Service", uid: str = "uid-1", namespace: str = "shop") -> Target:
    path = f"/api/v1/namespaces/{namespace}/services/{name}"
    return Target(kind=kind, path=path, name=name, namespace=namespace, uid=uid, resource_version="7")


def step(number: int = 1, **changes: Any) -> Step:
    do = Replace(target=target(f"web-{number}", uid=f"uid-{number}"), field=("spec", "x"), before="old", after="new")
    values: dict[str, Any] = {"title": f"change web-{number}", "do": do, **changes}
    return Step(**values)


def plan(*steps: Step, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "id": "p-0a1b2c3d",
        "action": "test",
        "title": "change web-1",
        "risk": "r1",
        "cluster": "lab",
        "namespace": "shop",
        "steps": steps or (step(),),
        "expected_s": 5.0,
        "disruption": "None.",
        "requester": ALICE,
        "made_at": NOW,
        "expires_at": NOW + EXPIRY_S,
        "program": "0",
    }
    return Plan(**(values | changes))


def record(*steps: Step, **changes: Any) -> PlanRecord:
    return PlanRecord(plan=plan(*steps, **changes))


def approval(of: Plan, person: Person = BOB, *, at: float = NOW + 1, digest: str = "") -> Approval:
    return Approval(person=person, at=at, digest=digest or of.digest)
