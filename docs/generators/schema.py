"""docs/report.schema.json: the JSON Schema of `cnibot diagnose --output json`, from the report's own classes."""

from bot.render.json import schema_text


def pages() -> dict[str, str]:
    """The schema."""
    return {"docs/report.schema.json": schema_text()}
