"""What the Slack side counts."""

from prometheus_client import Counter, Gauge, Histogram

RECEIVED = Counter(
    "cnibot_slack_received_total",
    "What Slack sent, by kind and by what became of it (new, repeated, ignored, refused).",
    ("kind", "outcome"),
)
ACK_SECONDS = Histogram(
    "cnibot_slack_ack_seconds",
    "From the arrival of what Slack sent to the acknowledgement, the store included.",
    ("kind",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0),
)
CALL_SECONDS = Histogram(
    "cnibot_slack_call_seconds",
    "Calls of Slack's API, by method (upload: the bytes of a file) and outcome: answered, limited (429), failed.",
    ("method", "outcome"),
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
CONNECTIONS = Gauge("cnibot_slack_connections", "Connections of Socket Mode that Slack greeted and that answer pings.")
RECONNECTS = Counter(
    "cnibot_slack_reconnects_total",
    "Connections of Socket Mode that were replaced, by reason.",
    ("reason",),
)
