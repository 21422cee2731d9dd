"""Settings: `CNIBOT_*` in the environment, and an optional YAML file named by `CNIBOT_CONFIG`.

The only module that reads the environment. Unknown keys in the file are refused, so that a misspelt one is found.
"""

import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from bot.alerts.extractors import Extractor, Template
from bot.domain.authorization import ANYONE, Action, Grant
from bot.domain.errors import ConfigurationError
from bot.domain.foreign import read_text, yaml_mistake
from bot.domain.plan_policy import ApprovalRule, QuietHours
from bot.domain.redact import Sink
from bot.domain.report import Risk

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_MAX_BYTES = 2**20
"""Of the file, and of one that holds a secret."""


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
            found: object = yaml.safe_load(read_text(Path(path), _MAX_BYTES))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"CNIBOT_CONFIG={path}", yaml_mistake(error)) from None
        except OSError as error:
            raise ConfigurationError(f"CNIBOT_CONFIG={path}", error.strerror or str(error)) from error
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ConfigurationError(f"CNIBOT_CONFIG={path}", "it is not a mapping of settings")
        return {str(key): value for key, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] YAML is untyped


Secret = Literal[
    "slack_bot_token", "slack_app_token", "slack_signing_secret", "redis_url", "alertmanager_token",
    "alertmanager_hmac_secret",
]  # fmt: skip
_SECRETS: tuple[Secret, ...] = get_args(Secret)
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = get_args(Day)


def default_state_dir() -> Path:
    """Where cnibot keeps its state when nothing says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "cnibot"


class ClusterSettings(BaseModel):
    """How to reach one cluster; both empty: as kubectl would, or the Pod's own credentials."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    kubeconfig: Path | None = None
    context: str | None = None
    executor_kubeconfig: Path | None = None
    """The credentials with which the bot rehearses plans and carries approved ones out; empty: the same."""
    executor_context: str | None = None

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if self.executor_context and not self.executor_kubeconfig:
            message = "executor_context is set without executor_kubeconfig: in which file is it?"
            raise ValueError(message)
        return self

    @property
    def executor(self) -> "ClusterSettings":
        """The same cluster, as whoever carries plans out."""
        if self.executor_kubeconfig is None:
            return self
        return ClusterSettings(kubeconfig=self.executor_kubeconfig, context=self.executor_context)


class AlertExtractorSettings(BaseModel):
    """What the alerts of one channel look like."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    firing: tuple[str, ...] = Field(min_length=1, max_length=20)
    resolved: tuple[str, ...] = Field(default=(), max_length=20)

    @property
    def extractor(self) -> Extractor:
        """Ready to read messages with."""
        return Extractor(firing=tuple(map(Template, self.firing)), resolved=tuple(map(Template, self.resolved)))

    @model_validator(mode="after")
    def _templates(self) -> Self:
        assert self.extractor
        return self


class AlertmanagerSettings(BaseModel):
    """An Alertmanager whose API is asked."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    urls: tuple[Annotated[str, Field(pattern="^https?://[^\\s?#]+$")], ...] = Field(min_length=1, max_length=8)
    """Its address, with its path prefix; of a highly available one the addresses of all its peers."""
    cluster: str = ""
    """The cluster that its alerts are of; empty: their labels say it."""
    receiver: str = "cnibot"
    """The receiver whose alerts come here: only those are taken in by the poll."""
    token_file: Path | None = None
    """A file with the bearer token."""
    username: str = ""
    password_file: Path | None = None
    """Or, with `username`: a file with the password."""
    ca_file: Path | None = None
    """The authority (PEM) of its certificate; without it those of the machine."""

    @model_validator(mode="after")
    def _one_way_to_be_known(self) -> Self:
        if bool(self.username) != (self.password_file is not None):
            message = "username and password_file belong together: one of them is not set"
            raise ValueError(message)
        if self.token_file and self.username:
            message = "token_file and username are both set: which one counts?"
            raise ValueError(message)
        return self


class CiliumSettings(BaseModel):
    """What plans install Cilium from."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    chart: Path
    """The archive of its chart, version 1.18 to 1.20: `helm pull cilium --repo https://helm.cilium.io --version …`."""
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    """What `sha256sum` says of it."""
    helm: str = "helm"
    """The program that renders it, and rolls any release back, Helm 3 or 4. Without CNIBOT_CILIUM: `helm` on PATH."""


class ApprovalRuleSettings(BaseModel):
    """How many people must approve plans of some clusters and namespaces."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    people: Annotated[int, Field(ge=1, le=10)]
    risks: tuple[Risk, ...] = ("r1", "r2", "r3")
    clusters: tuple[str, ...] = (ANYONE,)
    namespaces: tuple[str, ...] = (ANYONE,)
    """Names with * and ? as in a shell."""

    def rule(self) -> ApprovalRule:
        """As the policy takes it."""
        return ApprovalRule(
            people=self.people, risks=frozenset(self.risks), clusters=self.clusters, namespaces=self.namespaces
        )


class QuietHoursSettings(BaseModel):
    """A time of the week in which plans of some risks are neither approved nor begun."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    begins: dt.time
    """On the clock of `zone`: "22:00"."""
    ends: dt.time
    """Not after `begins`: on the next day."""
    days: tuple[Day, ...] = _DAYS
    """On which it begins."""
    zone: str = "UTC"
    """An IANA name: "Europe/Zurich"."""
    risks: tuple[Risk, ...] = ("r3",)
    clusters: tuple[str, ...] = (ANYONE,)

    @field_validator("zone")
    @classmethod
    def _known(cls, name: str) -> str:
        if not _zone(name):
            message = f"there is no time zone {name!r} here"
            raise ValueError(message)
        return name

    def hours(self) -> QuietHours:
        """As the policy takes it."""
        return QuietHours(
            days=frozenset(map(_DAYS.index, self.days)),
            begins=self.begins,
            ends=self.ends,
            zone=_zone(self.zone) or dt.UTC,
            risks=frozenset(self.risks),
            clusters=self.clusters,
        )


def _zone(name: str) -> dt.tzinfo | None:
    """The time zone; UTC is known without the machine's table of zones."""
    try:
        return dt.UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


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
    """The image of on-demand node agents, which run as root: name it with its digest (`…@sha256:…`), because a tag can
    be moved to another image. Empty takes the release's own image by its tag."""
    only_pinned_images: bool = False
    """Refuse to start unless `agent_image` names a digest."""
    playbooks_dirs: tuple[Path, ...] = ()
    """Directories of your own playbooks, causes and known issues, laid out like `playbooks/`."""
    alert_channel: str = Field(default="", pattern="^([CG][A-Z0-9]{5,20})?$")
    """The id of the Slack channel (C…, G…) for incidents that alerts open. Needed to take alerts in."""
    alert_channels: frozenset[str] = frozenset()
    """The ids of channels in which Alertmanager posts, and where its messages are answered in their threads."""
    alert_extractors: dict[Annotated[str, Field(pattern="^[CG][A-Z0-9]{5,20}$")], AlertExtractorSettings] = Field(
        default_factory=dict
    )
    """What alerts of other senders than Alertmanager look like, by the id of one of these channels: lines with labels
    in braces, `{C0123456789: {firing: ['DOWN: {alertname} on {node}'], resolved: ['UP: {alertname} on {node}']}}`."""
    quiet_channels: frozenset[str] = frozenset()
    """The ids of channels that get one reply for each incident, which is edited, and no pictures or mentions."""
    alert_routes: Path | None = None
    """A YAML file with your own routes for alerts: docs/alerts.md."""
    alertmanager_token: SecretStr | None = None
    """The bearer token that Alertmanager sends to `/alertmanager`. Without it and a secret there is no such address."""
    alertmanager_token_file: Path | None = None
    """A file that holds it."""
    alertmanager_hmac_secret: SecretStr | None = None
    """Or: the secret by which senders sign the body."""
    alertmanager_hmac_secret_file: Path | None = None
    """A file that holds it."""
    alertmanager_client_ca: Path | None = None
    """Or: an authority's certificate (PEM). Who shows a client certificate of it may send alerts; needs HTTPS here."""
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    """Alertmanagers whose API is asked for what their notifications leave out: a list of `{urls, cluster, receiver,
    token_file, username, password_file, ca_file}`."""
    alertmanager_poll_s: float = Field(default=60.0, ge=0, le=3600)
    """How often they are asked which alerts fire, in seconds; 0: only about messages in Slack."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """How long one diagnosis may take, in seconds."""
    max_nodes: int = Field(default=100, ge=1, le=5000)
    """How many nodes one diagnosis inspects; pods asked about come first."""

    trace: bool = True
    """Follow probe packets of a few flows that fail through all nodes on their way: about two seconds more."""

    clusters: dict[str, ClusterSettings] = Field(default_factory=dict)
    """The clusters by name, each `{kubeconfig, context, executor_kubeconfig, executor_context}`; the first is the one
    meant where none is named. Empty: one cluster, `default`, as kubectl would find it, or the one the Pod runs in."""
    api_addresses: tuple[Annotated[str, Field(pattern=r"^[^/@\s]+:[0-9]{1,5}$")], ...] = ()
    """In a pod: where the API server is reached beside its Service, each `HOST:PORT`, tried first. The endpoints of the
    Service `kubernetes` are learned without this, and a balancer on the node's loopback is found."""
    grants: tuple[GrantSettings, ...] = ()
    """Who may do what: a list of `{actions, users, groups, clusters, namespaces, channels}`. Empty: nobody may do
    anything."""
    max_diagnoses: int = Field(default=4, ge=1, le=100)
    """How many diagnoses run at the same time; others wait their turn."""

    remediation: Literal["shadow", "execute"] = "shadow"
    """What becomes of approved plans. `shadow`: they are checked against the cluster, and nothing is changed."""
    admission_policy: bool = False
    """Write the approval that is being carried out into the ConfigMap `cnibot-approval` of the bot's namespace: for the
    chart's `admissionPolicy`, which lets the executor's account do only what that names."""
    plan_expiry_s: float = Field(default=900.0, ge=60, le=86400)
    """How long a plan can be approved and begun, in seconds."""
    approvals: dict[Risk, Annotated[int, Field(ge=1, le=10)]] = Field(
        default_factory=lambda: dict[Risk, int]({"r3": 2})
    )
    """How many people besides the proposer must approve a plan, by its risk (r1, r2, r3); one where nothing is said."""
    approval_rules: tuple[ApprovalRuleSettings, ...] = ()
    """How many people must approve plans of some places, as `{people, risks, clusters, namespaces}`. Of these and of
    `CNIBOT_APPROVALS` the largest number that holds for a plan counts."""
    not_from_slack: tuple[Risk, ...] = ()
    """Risks whose plans are approved in the terminal only: a Slack session has no second factor."""
    typed_cluster: tuple[Risk, ...] = ()
    """Risks whose plans are approved only by typing the cluster's name."""
    reason_required: tuple[Risk, ...] = ()
    """Risks whose plans are approved only with a reason, which the audit keeps."""
    quiet_hours: tuple[QuietHoursSettings, ...] = ()
    """When plans rest: a list of `{begins, ends, days, zone, risks, clusters}`."""
    break_glass: frozenset[str] = frozenset()
    """Who may approve alone in the terminal, also their own plan and in quiet hours, with a reason and loudly: user
    names as the API server knows them. Empty: nobody."""

    cilium: CiliumSettings | None = None
    """From what plans install Cilium, as `{chart, sha256, helm}`. Unset: none is installed."""

    watch_every_s: float = Field(default=900.0, ge=30, le=86400)
    """How often a watched namespace is diagnosed, in seconds."""

    sweep_every_s: float = Field(default=0.0, ge=0, le=86400)
    """How often all nodes of each cluster are diagnosed without a request, in seconds; 0: never. What is found goes
    to `CNIBOT_ALERT_CHANNEL`."""

    known_issues_every_s: float = Field(default=86400.0, ge=0, le=86400)
    """How often the CNI's version of each cluster is held against the known issues, in seconds; 0: never. The metric
    `cnibot_known_issue_versions` has what was found."""
    known_issues_channel: str = Field(default="", pattern="^([CG][A-Z0-9]{5,20})?$")
    """The id of the Slack channel that gets a note about each of them, once. Empty: none."""

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
    """The address for Slack in HTTP mode, and for Alertmanager. Other machines reach it with `0.0.0.0`."""
    http_port: int = Field(default=9742, ge=0, le=65535)
    """Its port; 0 takes any free one."""
    public_url: str = Field(default="", pattern="^(https?://[^\\s?#]+)?$")
    """The address under which people reach that port. With it the bot gives links to pages of incidents, each good for
    a week for anyone who has it."""
    http_tls_cert: Path | None = None
    """The certificate (PEM, its chain after it) with which the port speaks HTTPS. Read when the bot starts."""
    http_tls_key: Path | None = None
    """Its private key."""
    health_host: str = "127.0.0.1"
    """The address for health and metrics, apart from the other, so that a flood there does not look like our death."""
    health_port: int = Field(default=9743, ge=0, le=65535)
    """Its port; 0 takes any free one."""
    drain_s: float = Field(default=20.0, ge=0, le=600)
    """How long a stopping bot finishes what it has begun, in seconds. The rest is taken up at the next start."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Which events are logged, on standard error."""
    redact: dict[Sink, tuple[str, ...]] = Field(default_factory=dict[Sink, tuple[str, ...]])
    """What to redact beside secrets, by where it would be shown: `{slack: ['10\\.\\d+\\.\\d+\\.\\d+'], …}`, regular
    expressions for `slack`, `terminal`, `json`, `markdown`, `recording`, `log` and `page`. Secrets are redacted
    everywhere, whatever is said here."""

    @field_validator("redact")
    @classmethod
    def _expressions(cls, given: dict[Sink, tuple[str, ...]]) -> dict[Sink, tuple[str, ...]]:
        for sink, patterns in given.items():
            for pattern in patterns:
                try:
                    is_everywhere = re.compile(pattern).match("") is not None
                except re.error as error:
                    message = f"{sink}: {pattern!r} is no regular expression: {error}"
                    raise ValueError(message) from error
                if is_everywhere:
                    message = f"{sink}: {pattern!r} matches where nothing is"
                    raise ValueError(message)
        return given

    @property
    def is_agent_image_pinned(self) -> bool:
        """Whether the image of node agents is known by its content."""
        return _DIGEST.search(self.agent_image) is not None

    @model_validator(mode="after")
    def _no_image_that_can_be_moved(self) -> Self:
        if self.only_pinned_images and not self.is_agent_image_pinned:
            message = "only_pinned_images is set, and agent_image names no digest (…@sha256:…)"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_way_to_give_a_secret(self) -> Self:
        for name in _SECRETS:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                message = f"{name} and {name}_file are both set: which one counts?"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _certificates_are_whole(self) -> Self:
        if (self.http_tls_cert is None) != (self.http_tls_key is None):
            message = "http_tls_cert and http_tls_key belong together: one of them is not set"
            raise ValueError(message)
        if self.alertmanager_client_ca and not self.http_tls_cert:
            message = "alertmanager_client_ca is set, but without http_tls_cert nobody can show a certificate"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _alerts_have_a_channel(self) -> Self:
        if (self.takes_alerts or self.alertmanagers) and not self.alert_channel:
            message = "alerts are enabled, but without alert_channel their incidents cannot be posted anywhere"
            raise ValueError(message)
        if self.sweep_every_s and not self.alert_channel:
            message = "sweep_every_s is set, but without alert_channel a fault cannot be posted anywhere"
            raise ValueError(message)
        if unread := self.alert_extractors.keys() - self.alert_channels:
            message = f"alert_extractors names {min(unread)}, which is not in alert_channels: nothing is read there"
            raise ValueError(message)
        if 0 < self.alertmanager_poll_s < 15:
            message = "alertmanager_poll_s is less than 15 seconds: 0 for never, 15 or more"
            raise ValueError(message)
        if 0 < self.known_issues_every_s < 3600:
            message = "known_issues_every_s is less than an hour: 0 for never, 3600 or more"
            raise ValueError(message)
        if 0 < self.sweep_every_s < 60:
            message = "sweep_every_s is less than a minute: 0 for never, 60 or more"
            raise ValueError(message)
        return self

    @property
    def takes_alerts(self) -> bool:
        """Whether Alertmanager may send alerts: a token, a secret or an authority is set."""
        names = ("alertmanager_token", "alertmanager_hmac_secret")
        has_secret = any(getattr(self, name) or getattr(self, f"{name}_file") for name in names)
        return has_secret or self.alertmanager_client_ca is not None

    def secret(self, name: Secret) -> str:
        """The secret itself, from its file where it is in one; "" when it is not set.

        Errors: `ConfigurationError` when the file cannot be read or is empty.
        """
        path: Path | None = getattr(self, f"{name}_file")
        if path is None:
            held: SecretStr | None = getattr(self, name)
            return held.get_secret_value().strip() if held else ""
        return secret_in(path, f"CNIBOT_{name.upper()}_FILE")

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


def secret_in(path: Path, setting: str) -> str:
    """The secret in a file. Errors: `ConfigurationError` when it cannot be read or is empty."""
    what = f"The file {path} of {setting}"
    try:
        text = read_text(path, _MAX_BYTES).strip()
    except UnicodeDecodeError:
        raise ConfigurationError(what, "it is not UTF-8") from None
    except OSError as error:
        raise ConfigurationError(what, error.strerror or str(error)) from error
    if not text:
        raise ConfigurationError(what, "it is empty")
    return text


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
