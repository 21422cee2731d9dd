import yaml

from bot.cli.workspace import HINT, SHORTCUTS
from tests.architecture.tree import ROOT


def test_the_page_offers_what_the_apps_manifest_declares() -> None:
    features = yaml.safe_load((ROOT / "deploy" / "slack" / "manifest.yaml").read_text())["features"]
    (command,) = features["slash_commands"]
    assert (HINT.command, HINT.usage, HINT.description) == (
        command["command"],
        command["usage_hint"],
        command["description"],
    )
    assert tuple((one["callback_id"], one["name"]) for one in features["shortcuts"]) == SHORTCUTS
