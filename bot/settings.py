"""Settings: `CNIBOT_*` in the environment, and an optional YAML file named by `CNIBOT_CONFIG`.

The only module that reads the environment. Unknown keys in the file are refused, so that a misspelt one is found.
"""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from bot.domain.authorization import ANYONE, Action, Grant
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


_SECRETS = ("slack_bot_token", "slack_app_token", "slack_signing_secret", "redis_url")


def default_state_dir() -> Path:
    """Where cnibot keeps its state when nothing says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "cnibot"


class ClusterSettings(BaseModel):
    """How to reach one cluster; both empty: as kubectl would, or the Pod's own credentials."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    kubeconfig: Path | None = None
    context: str | None = None


class GrantSettings(BaseModel):
    """Who may do what and where. Nobody is meant where nobody is named; `"*"` names every full member."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    actions: frozenset[Action]
    users: frozenset[str] = frozenset()
    """Slack user ids (U…)."""
    groups: frozenset[str] = frozenset()
    """Slack user group ids (S…)."""
    clusters: tuple[str, ...] = (ANYONE,)
    namespaces: tuple[str, ...] = (ANYONE,)
    channels: tuple[str, ...] = (ANYONE,)
    """Slack channel ids (C…, G…)."""

    def grant(self) -> Grant:
        """As the decision takes it."""
        return Grant(**dict(self))


class Settings(BaseSettings):
    """All settings with their defaults."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="CNIBOT_", extra="forbid", frozen=True)

    state_dir: Path = Field(default_factory=default_state_dir)
    """Where the lab, and the store without `CNIBOT_REDIS_URL`, keep their files."""
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

    clusters: dict[str, ClusterSettings] = Field(default_factory=dict)
    """The clusters by name, each `{kubeconfig, context}`; the first is the one meant where none is named. Empty: one
    cluster, `default`, as kubectl would find it, or the one the Pod runs in."""
    grants: tuple[GrantSettings, ...] = ()
    """Who may do what: a list of `{actions, users, groups, clusters, namespaces, channels}`. Empty: nobody may do
    anything."""
    max_diagnoses: int = Field(default=4, ge=1, le=100)
    """How many diagnoses run at the same time; others wait their turn."""

    watch_every_s: float = Field(default=900.0, ge=30, le=86400)
    """How often a watched namespace is diagnosed, in seconds."""

    slack_mode: Literal["socket", "http"] = "socket"
    """How Slack reaches the bot: by connections that the bot opens, or by requests to `/slack/events`."""
    slack_bot_token: SecretStr | None = None
    """The bot's token (`xoxb-…`)."""
    slack_bot_token_file: Path | None = None
    """A file that holds it; read when the bot starts."""
    slack_app_token: SecretStr | None = None
    """The app-level token (`xapp-…`, scope `connections:write`); Socket Mode needs it."""
    slack_app_token_file: Path | None = None
    """A file that holds it."""
    slack_signing_secret: SecretStr | None = None
    """The app's signing secret; HTTP mode needs it."""
    slack_signing_secret_file: Path | None = None
    """A file that holds it."""
    slack_api_url: str = "https://slack.com/api/"
    """Where Slack's Web API is."""
    slack_connections: int = Field(default=2, ge=1, le=5)
    """Connections in Socket Mode; Slack allows ten for an app, an update of the bot doubles them for a moment."""

    redis_url: SecretStr | None = None
    """The store (Redis 6.2 or newer, or Valkey). Empty: a server of our own on a socket in the state directory."""
    redis_url_file: Path | None = None
    """A file that holds the URL, where it has a password in it."""

    http_host: str = "127.0.0.1"
    """The address for health, metrics and, in HTTP mode, Slack. Other machines reach it with `0.0.0.0`."""
    http_port: int = Field(default=9742, ge=0, le=65535)
    """Its port; 0 takes any free one."""
    drain_s: float = Field(default=20.0, ge=0, le=600)
    """How long a stopping bot finishes what it has begun, in seconds. The rest is taken up at the next start."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Which events are logged, on standard error."""

    @model_validator(mode="after")
    def _one_way_to_give_a_secret(self) -> Self:
        for name in _SECRETS:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                message = f"{name} and {name}_file are both set: which one counts?"
                raise ValueError(message)
        return self

    def secret(self, name: Literal["slack_bot_token", "slack_app_token", "slack_signing_secret", "redis_url"]) -> str:
        """The secret itself, from its file where it is in one; "" when it is not set.

        Errors: `ConfigurationError` when the file cannot be read or is empty.
        """
        path: Path | None = getattr(self, f"{name}_file")
        if path is None:
            held: SecretStr | None = getattr(self, name)
            return held.get_secret_value().strip() if held else ""
        what = f"The file {path} of CNIBOT_{name.upper()}_FILE"
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(what, str(error)) from error
        if not text:
            raise ConfigurationError(what, "it is empty")
        return text

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
        if not name:
            raise ConfigurationError("The settings", first["msg"].removeprefix("Value error, ")) from error
        raise ConfigurationError(f"The setting {name} (CNIBOT_{name.upper()})", first["msg"]) from error
    except SettingsError as error:  # JSON that is none, in a variable that holds a list or a mapping
        raise ConfigurationError("The environment", str(error)) from error


def has_kubeconfig() -> bool:
    """Whether the usual places hold a kubeconfig or a Pod's own credentials."""
    named = os.environ.get("KUBECONFIG")
    if named:
        return True
    return Path("~/.kube/config").expanduser().exists() or "KUBERNETES_SERVICE_HOST" in os.environ
