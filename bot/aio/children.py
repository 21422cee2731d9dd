"""Programs that we start."""

import os

_OURS = "CNIBOT_"


def child_environment() -> dict[str, str]:
    """Our environment without cnibot's own settings: tokens and the store's password are nobody else's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
