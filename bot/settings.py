"""Settings: `CNIBOT_*` in the environment, and an optional YAML file named by `CNIBOT_CONFIG`.

The only module that reads the environment. Unknown keys in the file are refused, so that a misspelt one is found.
"""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.domain.errors import ConfigurationError


class _YamlFile(PydanticBaseSettingsSource):
    """The YAML file's values; the environment goes before them."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Unused: the whole mapping is returned at once."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get("CNIBOT_CONFIG")
        if not path:
            return {}
        try:
            found: object = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"CNIBOT_CONFIG={path}", str(error)) from error
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ConfigurationError(f"CNIBOT_CONFIG={path}", "it is not a mapping of settings")
        return {str(key): value for key, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] YAML is untyped


def default_state_dir() -> Path:
    """Where cnibot keeps its state when nothing says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "cnibot"


class Settings(BaseSettings):
    """All settings with their defaults."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="CNIBOT_", extra="forbid", frozen=True)

    state_dir: Path = Field(default_factory=default_state_dir)
    """Where the lab and, later, the store keep their files."""
    bot_namespace: str = "cnibot"
    """The namespace in which node agents run."""
    agent_image: str = ""
    """The image of on-demand node agents; empty takes the release's own image."""
    playbooks_dirs: tuple[Path, ...] = ()
    """Directories of your own playbooks, causes and known issues, laid out like `playbooks/`."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """How long one diagnosis may take, in seconds."""
    max_nodes: int = Field(default=100, ge=1, le=5000)
    """How many nodes one diagnosis looks at; pods asked about come first."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Which events are logged, on standard error."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the YAML file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _YamlFile(settings_cls)


def load_settings() -> Settings:
    """The settings in force. Errors: `ConfigurationError`, naming the setting."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"The setting {name} (CNIBOT_{name.upper()})", first["msg"]) from error


def has_kubeconfig() -> bool:
    """Whether the usual places hold a kubeconfig or a Pod's own credentials."""
    named = os.environ.get("KUBECONFIG")
    if named:
        return True
    return Path("~/.kube/config").expanduser().exists() or "KUBERNETES_SERVICE_HOST" in os.environ
