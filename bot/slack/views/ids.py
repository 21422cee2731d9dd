"""What comes back from Slack when somebody presses, submits or picks something: one spelling for both ends.

A button's value and a view's private_metadata travel through the client: they name a run, and prove nothing.
"""

import re

_RUN = re.compile(r"(inc-[0-9a-f]{8}):([0-9]{1,9})")

DETAILS = "cni_details"
RERUN = "cni_rerun"
SHARE = "cni_share"
NOT_IT = "cni_not_it"
PROPOSE_FIX = "cni_propose_fix"
MORE = "cni_more"
"""The menu beside the buttons: an option's value is one of the ids above, a blank, and the run."""
DIAGNOSE_NAMESPACE = "cni_diagnose_namespace"

DIAGNOSE_POD = "cni_diagnose_pod"

DETAILS_VIEW = "cni_details_view"
NOT_IT_VIEW = "cni_not_it_view"
NOT_IT_BLOCK = "cni_not_it_block"
NOT_IT_INPUT = "cni_not_it_input"
"""Where a submission of `NOT_IT_VIEW` holds the text: view.state.values[NOT_IT_BLOCK][NOT_IT_INPUT].value."""

DIAGNOSE_MESSAGE = "cni_diagnose_message"
"""The message shortcut "Diagnose this alert"."""


def run_value(incident_id: str, run: int) -> str:
    """The value of a button under a verdict, and the private_metadata of its views; "" for what is no incident's id."""
    value = f"{incident_id}:{run}"
    return value if _RUN.fullmatch(value) else ""


def option_value(action_id: str, run: str) -> str:
    """The value of an option of the menu."""
    return f"{action_id} {run}"


def parse_option(value: str) -> tuple[str, str]:
    """The action and the run's value that an option names."""
    action_id, _, run = value.partition(" ")
    return action_id, run


def parse_run(value: str) -> tuple[str, int] | None:
    """Incident and run that a value names; None when it has another form."""
    found = _RUN.fullmatch(value)
    return (found[1], int(found[2])) if found else None


def namespace_value(cluster: str, namespace: str) -> str:
    """The value of a button that diagnoses a namespace."""
    return f"{cluster}/{namespace}"


def parse_namespace(value: str) -> tuple[str, str] | None:
    """Cluster and namespace that a value names (the namespace has no slash); None when it has another form."""
    cluster, slash, namespace = value.rpartition("/")
    return (cluster, namespace) if slash and cluster and namespace else None


def pod_value(cluster: str, namespace: str, pod: str) -> str:
    """The value of a button that diagnoses a pod, or a workload's pods."""
    return f"{cluster}/{namespace}/{pod}"


def parse_pod(value: str) -> tuple[str, str, str] | None:
    """Cluster, namespace and pod that a value names; None when it has another form."""
    rest, _, pod = value.rpartition("/")
    found = parse_namespace(rest)
    return (*found, pod) if found and pod else None
