"""ControllerRevisions: the history of a DaemonSet's template, which `kubectl rollout undo` reads."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers import podsets

Obj = Mapping[str, Any]
RESOURCE = "controllerrevisions.apps"
HASH = "controller-revision-hash"


class History(NamedTuple):
    """The revision of the present template, and the older ones, oldest first."""

    current: Obj
    old: list[Obj]


def revision_data(owner: Obj) -> dict[str, Any]:
    """What a revision keeps: a strategic merge patch that puts the template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def history(storage: Storage, owner: Obj) -> History:
    """The history of an owner, with the present template as its newest revision.

    A template that was there before keeps its revision object, which only gets the next number: that is what makes an
    undo visible as revision 3 with the name of revision 1.
    """
    data = revision_data(owner)
    known = sorted(podsets.owned(storage, RESOURCE, owner), key=lambda each: each["revision"])
    same = [each for each in known if each["data"] == data]
    latest = known[-1]["revision"] if known else 0
    if not same:
        current = _create(storage, owner, data, latest + 1)
    elif same[-1]["revision"] < latest:
        metadata = same[-1]["metadata"]
        current = storage.patch(RESOURCE, metadata["name"], metadata["namespace"], {"revision": latest + 1})
    else:
        current = same[-1]
    name = current["metadata"]["name"]
    return History(current, [each for each in known if each["metadata"]["name"] != name])


def _create(storage: Storage, owner: Obj, data: dict[str, Any], number: int) -> Obj:
    metadata = owner["metadata"]
    digest = podsets.template_hash(data)
    labels = sub(sub(owner["spec"]["template"], "metadata"), "labels")
    revision: dict[str, Any] = {
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "labels": {**labels, HASH: digest},
            "annotations": dict(sub(metadata, "annotations")),
            "ownerReferences": [podsets.owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }
    return storage.create(RESOURCE, revision, namespace=metadata["namespace"])


def clean_up(storage: Storage, owner: Obj, old: list[Obj], in_use: set[str]) -> None:
    """Delete the oldest revisions beyond the history limit that no pod carries."""
    unused = [each for each in old if each["metadata"]["labels"][HASH] not in in_use]
    surplus = len(old) - owner["spec"].get("revisionHistoryLimit", 10)
    for each in unused[: max(surplus, 0)]:
        storage.delete(RESOURCE, each["metadata"]["name"], each["metadata"]["namespace"])
