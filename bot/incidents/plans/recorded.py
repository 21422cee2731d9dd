"""The CNI's configuration as a recorded diagnosis has it."""

from bot.diagnosis.recording import Recording
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.actions.restore import Wanted


def recorded(recording: Recording, named: str) -> Wanted:
    """The object that "KIND/[NAMESPACE/]NAME" names. Errors: `NotPlannedError`: it is not in the recording."""
    snapshot, at = recording.snapshot, recording.started_at
    match named.split("/"):
        case ["ConfigMap", namespace, name]:
            for one in snapshot.config_maps:
                if (one.metadata.namespace, one.metadata.name) == (namespace, name):
                    return Wanted(kind="ConfigMap", name=name, namespace=namespace, content=one.data, at=at)
        case ["FelixConfiguration" | "IPPool" | "Installation" as kind, name]:
            for one in snapshot.custom_objects.get(f"{kind.lower()}s", ()):
                if one.metadata.name == name:
                    return Wanted(kind=kind, name=name, content=one.spec, at=at)
        case _:
            raise NotPlannedError(
                f"{named!r} is none of ConfigMap/NAMESPACE/NAME, FelixConfiguration/NAME, Installation/NAME and "
                "IPPool/NAME."
            )
    raise NotPlannedError(f"The recording holds no {named}.")
