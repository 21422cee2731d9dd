"""docs/reference/settings.md: every setting with its variable, type, default and meaning, from the model itself."""

import ast
import inspect
from textwrap import dedent

from bot.settings import Settings

INTRO = """# Settings

Each is a variable in the environment, or a key of the YAML file that `CNIBOT_CONFIG` names (the part after `CNIBOT_`,
in lower case). The environment goes before the file. An unknown key in the file is refused.

"""


def meanings() -> dict[str, str]:
    """The docstring under each field."""
    (model,) = ast.parse(dedent(inspect.getsource(Settings))).body
    assert isinstance(model, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(model.body, model.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(inspect.cleandoc(text).split())
            case _:
                continue
    return found


def default_of(name: str) -> str:
    """The default as one would write it."""
    if name == "state_dir":
        return "`~/.local/state/cnibot`, or below `XDG_STATE_HOME`"
    field = Settings.model_fields[name]
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in ("", (), {}, None):
        return "empty"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def pages() -> dict[str, str]:
    """The page. A field without a docstring is an error: nobody would know what it does."""
    text = meanings()
    rows = [f"| `CNIBOT_{name.upper()}` | {default_of(name)} | {text[name]} |" for name in Settings.model_fields]
    table = "\n".join(("| variable | default | meaning |", "| --- | --- | --- |", *rows))
    return {"docs/reference/settings.md": f"{INTRO}{table}\n"}
