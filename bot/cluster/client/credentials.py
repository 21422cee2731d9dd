"""Who we are and where the API server is: kubeconfig (contexts, tokens, certificates, plugins, proxies) or in-cluster.

Loaded by the official client; around it what it leaves out: a credential plugin that fails says so instead of going on
without credentials, certificates do not stay in temporary files, and a broken kubeconfig is a sentence.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config, kube_config
from kubernetes.aio.config.config_exception import ConfigException

from bot.cluster.client.credential_plugin import run_plugin
from bot.domain.errors import ConfigurationError, UnreachableError
from bot.domain.foreign import yaml_mistake
from bot.domain.listing import and_more

IN_CLUSTER = "in-cluster"
"""What stands for a context where there is no kubeconfig."""
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_BY = "with --kubeconfig or in KUBECONFIG"

# The official loader is not annotated: it is Any from here on, and its results are checked in `Login`.
_kube_config: Any = kube_config
_incluster_config: Any = incluster_config

# What its loader raises on a kubeconfig of another shape than it expects (it does not validate).
_BAD_SHAPE = (
    ConfigException, yaml.YAMLError, OSError, TypeError, ValueError, KeyError, AttributeError, RecursionError
)  # fmt: skip


class Login:
    """A server and our credentials for it."""

    def __init__(
        self, source: str, context: str, namespace: str, configuration: Configuration, loader: Any, *, files: str = ""
    ) -> None:
        self.source = source
        """"the kubeconfig /home/a/.kube/config", "the pod's service account"."""
        self.files = files
        """As KUBECONFIG has them; "" for a pod's service account."""
        self.context = context
        self.namespace = namespace
        """The context's default namespace."""
        self.configuration = configuration
        self.chosen = ""
        """Another address (HOST:PORT) of the same server, whose certificate must still be for the first one's host."""
        self._loader = loader

    @property
    def server(self) -> str:
        """Base URL without a trailing slash."""
        return f"https://{self.chosen}" if self.chosen else self.configuration.host.rstrip("/")

    @property
    def verified_name(self) -> str | None:
        """What the server's certificate must be for, where it is not the host of the URL."""
        if self.chosen:
            return urlsplit(self.configuration.host).hostname
        return self.configuration.tls_server_name

    @property
    def service(self) -> str | None:
        """HOST:PORT of the Service by which a pod is to reach the server; None outside a pod, or by a proxy."""
        is_in_pod = self.context == IN_CLUSTER and self._loader is None and not self.configuration.proxy
        return urlsplit(self.configuration.host).netloc if is_in_pod else None

    async def authorization(self) -> str:
        """The Authorization header, "" when there is none (client certificates). In a pod, reread each minute."""
        settings = await self.configuration.auth_settings()
        token = settings.get("BearerToken")
        return (token["value"] or "") if token else ""

    async def renew(self) -> bool:
        """Load token files and plugins again; False when there is nothing to renew."""
        if self._loader is None:
            return False
        try:
            await self._loader.load_and_set(self.configuration)
        except _BAD_SHAPE as error:
            raise self.unusable(_reason(error)) from None  # a YAML error carries the line beside it
        finally:
            self.forget_files()
        return True

    def unusable(self, why: str) -> ConfigurationError:
        """The error that says what is wrong with where this login came from."""
        return ConfigurationError(self.source[:1].upper() + self.source[1:], why)

    @staticmethod
    def forget_files() -> None:
        """Remove the files into which the loader wrote certificates and keys (they are in the TLS context by now)."""
        _kube_config._cleanup_temp_files()  # noqa: SLF001 - it would do so only at exit


async def load_login(kubeconfig: str | None, context: str | None) -> Login:
    """The login for a context (None: the current one).

    Without `kubeconfig`: the files of $KUBECONFIG or ~/.kube/config where one exists, else the pod's service account.
    Errors: `ConfigurationError`, `UnreachableError` when a credential plugin fails.
    """
    paths = kubeconfig or _default_kubeconfig()
    if paths is None:
        return _load_service_account()
    source = f"the kubeconfig {paths}"
    if why := _unfit(paths):
        raise ConfigurationError(source[:1].upper() + source[1:], why)
    configuration = Configuration()
    _relax(configuration)
    try:
        merged = _kube_config.KubeConfigMerger(paths)
        _check_context(merged.config, context, source)
        loader: Any = _Loader(merged.config, active_context=context, config_base_path=None)
        await loader.load_and_set(configuration)
        current = loader.current_context
        namespace = str(current["context"].get("namespace") or "default")
        return Login(source, str(current["name"]), namespace, configuration, loader, files=paths)
    except _BAD_SHAPE as error:
        _kube_config._cleanup_temp_files()  # noqa: SLF001
        raise ConfigurationError(source[:1].upper() + source[1:], _reason(error)) from None


def _check_context(config: Any, context: str | None, source: str) -> None:
    """Errors: `ConfigurationError` that names the contexts there are, where the one meant is not among them."""
    value: object = config.value
    whole = cast("Mapping[str, object]", value if isinstance(value, dict) else {})
    listed = whole.get("contexts")
    nodes = cast("list[Any]", listed) if isinstance(listed, list) else []
    named = [cast("object", getattr(one, "value", one)) for one in nodes]
    names = [str(cast("Mapping[str, object]", one)["name"]) for one in named if isinstance(one, dict) and "name" in one]
    if whole and not listed and not isinstance(listed, dict | str):
        why = f"it has no context. Name another file {_BY}"
        raise ConfigurationError(source[:1].upper() + source[1:], why)
    meant = context or whole.get("current-context")
    if not names or meant in names:
        return  # nothing to choose from: the loader says what is wrong with the file
    there_are = f"There are: {and_more(names, 10)}. Choose one with --context"
    why = f"it has no context {str(meant)[:80]!r}" if meant else "it sets no current-context"
    raise ConfigurationError(source[:1].upper() + source[1:], f"{why}. {there_are}")


def _default_kubeconfig() -> str | None:
    """$KUBECONFIG or ~/.kube/config (as the official client found them when it was imported), if a file is there."""
    paths = str(_kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    return paths if _existing(paths) or not _SERVICE_ACCOUNT.exists() else None


def _unfit(paths: str) -> str:
    """Why none of the files can be read, and what to do then; "" where one can be tried."""
    found = _existing(paths)
    if not found:
        return f"there is no such file. Name one {_BY} (without a cluster to try: make demo)"
    if any(path.is_dir() for path in found):
        return f"it is a directory. Name another file {_BY}"
    if all(path.is_file() and not path.stat().st_size for path in found):  # of a pipe the size is not known
        return f"it is empty. Name another file {_BY}"
    return ""


def _existing(paths: str) -> list[Path]:
    """Those of the files of a $KUBECONFIG-like list that are there."""
    listed = [Path(path).expanduser() for path in paths.split(os.pathsep) if path]
    return [path for path in listed if path.exists()]


def _load_service_account() -> Login:
    configuration = Configuration()
    _relax(configuration)
    try:
        _incluster_config.load_incluster_config(configuration)
        namespace = (_SERVICE_ACCOUNT / "namespace").read_text("utf-8").strip()
    except _BAD_SHAPE as error:
        raise ConfigurationError("The pod's service account", _reason(error)) from error
    return Login("the pod's service account", IN_CLUSTER, namespace or "default", configuration, None)


def _relax(configuration: Configuration) -> None:
    """Chains and host names are verified; the RFC 5280 details that Python 3.13 adds are not.

    kubectl does not ask for them, and the certificates of many running clusters lack an Authority Key Identifier.
    """
    configuration.disable_strict_ssl_verification = hasattr(ssl, "VERIFY_X509_STRICT")


def _reason(error: BaseException) -> str:
    if isinstance(error, yaml.YAMLError):
        return yaml_mistake(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ConfigException | OSError):
        return str(error)
    return f"it is not a kubeconfig, or lacks a part ({error})"


class _Loader(_kube_config.KubeConfigLoader):
    """The official loader, except that a plugin's failure is an error."""

    async def load_from_exec_plugin(self) -> bool:
        plugin: dict[str, Any] = self._user["exec"].value
        status = await run_plugin(plugin, server=str(self._cluster["server"]))
        if token := status.get("token"):
            self.token = f"Bearer {token}"
        elif "clientCertificateData" in status and "clientKeyData" in status:
            self.cert_file = _kube_config._create_temp_file_with_content(status["clientCertificateData"])  # noqa: SLF001
            self.key_file = _kube_config._create_temp_file_with_content(status["clientKeyData"])  # noqa: SLF001
        else:
            raise UnreachableError(
                str(self._cluster["server"]), "credentials", "it gave neither a token nor a certificate"
            )
        return True
