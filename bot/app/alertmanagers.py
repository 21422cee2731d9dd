"""The Alertmanagers of the settings, ready to be asked."""

import ssl
from pathlib import Path

import aiohttp

from bot.domain.errors import ConfigurationError
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi
from bot.settings import AlertmanagerSettings, Settings, secret_in

_SETTING = "CNIBOT_ALERTMANAGERS"


def alertmanagers_of(settings: Settings) -> tuple[AlertmanagerApi, ...]:
    """In the order of the settings. Errors: `ConfigurationError` for files that cannot be read."""
    return tuple(map(_api, settings.alertmanagers))


def _api(given: AlertmanagerSettings) -> AlertmanagerApi:
    return AlertmanagerApi(
        name=given.urls[0],
        urls=given.urls,
        cluster=given.cluster,
        receiver=given.receiver,
        headers=_headers(given),
        tls=_tls(given.ca_file) if given.ca_file else None,
    )


def _headers(given: AlertmanagerSettings) -> dict[str, str]:
    if given.token_file:
        return {"Authorization": f"Bearer {secret_in(given.token_file, _SETTING)}"}
    if given.username and given.password_file:
        password = secret_in(given.password_file, _SETTING)
        return {"Authorization": aiohttp.BasicAuth(given.username, password, "utf-8").encode()}
    return {}


def _tls(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"The file {ca_file} of {_SETTING}", str(error)) from error
