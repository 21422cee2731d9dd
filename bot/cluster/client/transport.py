"""HTTP and WebSocket to one API server, with the official client's configuration and connection pool.

Import this module only when connecting (`Api.connect` does): it loads `kubernetes.aio` and aiohttp. Everything that
judges, replays or prints help does without. The client's models are never used: answers are raw bytes.

Library errors end here: whatever aiohttp and ssl raise becomes a `BotError`.
"""

import errno
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from kubernetes.aio.client.rest import RESTClientObject

from bot.cluster.client import tally
from bot.cluster.client.api_addresses import addresses_in_use
from bot.cluster.client.cluster_access import ClusterAccess
from bot.cluster.client.credentials import Login, load_login
from bot.cluster.client.wire import Frame, Response, WebSocket
from bot.domain.errors import DeadlineError, TooLargeError, Trouble, UnreachableError

Translated = Callable[[], AbstractContextManager[None]]

MAX_ANSWER_BYTES = 128 * 2**20
MAX_FRAME_BYTES = 8 * 2**20
MAX_LINE_BYTES = 4 * 2**20
"""Twice the read buffer that the official client chooses: aiohttp's rule."""
CONNECT_S = 5.0
CLOSE_S = 0.3
LOOK_S = 1.0
"""How long an address of the API server has to answer before the next one is tried."""
NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_TROUBLES: dict[int, Trouble] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETUNREACH: "no-route",
    errno.ETIMEDOUT: "no-route",
    errno.ECONNRESET: "dropped",
    errno.EPIPE: "dropped",
}


class Transport:
    """Requests to one server as one user. Close it."""

    def __init__(self, login: Login, *, request_s: float) -> None:
        self._login = login
        self._request_s = request_s
        login.configuration.client_session_kwargs = {"raise_for_status": _keep_refusals_of_upgrades}
        self._rest = RESTClientObject(login.configuration)
        self._session = self._rest._create_pool_manager()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the library builds its pool (TLS, proxy) only there

    @classmethod
    async def open(cls, kubeconfig: str | None, context: str | None, *, request_s: float) -> "Transport":
        """A transport for this context. Errors: `ConfigurationError`, `UnreachableError` (a credential plugin)."""
        login = await load_login(kubeconfig, context)
        try:
            transport = cls(login, request_s=request_s)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise login.unusable(f"its certificates: {error}") from error
        finally:
            login.forget_files()
        await transport.find_server()
        return transport

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return self._login.server

    @property
    def context(self) -> str:
        """Name of the kubeconfig's context, or "in-cluster"."""
        return self._login.context

    @property
    def access(self) -> ClusterAccess:
        """How another program finds the same server as the same user."""
        login = self._login
        return ClusterAccess(
            kubeconfig=login.files, context=login.context, server=login.server, tls_name=login.verified_name or ""
        )

    @property
    def is_in_cluster(self) -> bool:
        """Whether we are a pod of the cluster, and the server has more than one address."""
        return self._login.service is not None

    async def find_server(self) -> bool:
        """In a pod, turn to the first address where the server answers; whether it is another than before."""
        before, service = self.server, self._login.service
        if service is not None:
            chosen = await addresses_in_use().choose(service, self._is_serving)
            self._login.chosen = chosen if chosen and chosen != service else ""
        return self.server != before

    async def _is_serving(self, address: str) -> bool:
        """Whether a server that its certificate vouches for answers there; no credentials are sent."""
        options: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=LOOK_S), "allow_redirects": False}
        name = urlsplit(self._login.configuration.host).hostname
        try:
            url = f"https://{address}/livez"
            async with self._session.get(url, server_hostname=name, raise_for_status=False, **options) as answer:
                return answer.status < 500
        except (aiohttp.ClientError, HttpProcessingError, ssl.SSLError, OSError, TimeoutError, ValueError):
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def renew(self) -> bool:
        """Load the credentials again; whether they are others than before."""
        old = await self._login.authorization()
        return await self._login.renew() and await self._login.authorization() != old

    async def request(
        self, method: str, path: str, *, body: bytes = b"", content_type: str = "", timeout_s: float | None = None
    ) -> Response:
        """The whole answer, whatever its status. Errors: `UnreachableError`, `DeadlineError`, `TooLargeError`."""
        try:
            return await self._request(method, path, body, content_type, timeout_s or self._request_s)
        except UnreachableError as error:
            # Nothing was sent where no connection was made: the same may be asked elsewhere.
            if not isinstance(error.__cause__, NOT_CONNECTED) or not await self._turn_elsewhere():
                raise
        return await self._request(method, path, body, content_type, timeout_s or self._request_s)

    async def _turn_elsewhere(self) -> bool:
        if service := self._login.service:
            addresses_in_use().shun(self._login.chosen or service)
            return await self.find_server()
        return False

    async def _request(self, method: str, path: str, body: bytes, content_type: str, timeout_s: float) -> Response:
        options = await self._options(timeout_s, {"Content-Type": content_type} if content_type else {})
        with self._counted(method), self._translated(timeout_s):
            async with self._session.request(method, self.server + path, data=body or None, **options) as answer:
                tally.count(method, f"{answer.status // 100}xx")
                return Response(
                    status=answer.status,
                    body=await _read(answer, f"The answer to {method} {path.partition('?')[0]}"),
                    retry_after_s=_seconds(answer.headers.get("Retry-After")),
                )

    @asynccontextmanager
    async def stream(self, path: str, *, timeout_s: float) -> AsyncGenerator["Stream", None]:
        """A long answer (a watch), line by line as it comes."""
        options = await self._options(timeout_s, {})
        with self._counted("GET"), self._translated(timeout_s):
            answer = await self._session.get(self.server + path, **options)
        tally.count("GET", f"{answer.status // 100}xx")
        async with answer:
            yield Stream(answer, lambda: self._translated(timeout_s))

    @asynccontextmanager
    async def websocket(self, path: str, *, protocols: tuple[str, ...]) -> AsyncGenerator[WebSocket, None]:
        """An open WebSocket, closed at the end. `RefusedUpgrade` carries the server's answer if it will not."""
        # Since 1.36 the API server hands the headers on to the kubelet, whose exec declares no media type: it
        # answers 406 to "application/json" alone.
        options = await self._options(None, {"Accept": "*/*"})
        connect: Any = self._session.ws_connect  # its types promise less than it takes
        closing: Any = aiohttp.ClientWSTimeout
        with self._counted("WEBSOCKET"), self._translated(CONNECT_S):
            socket: aiohttp.ClientWebSocketResponse[bool] = await connect(
                self.server + path,
                protocols=protocols,
                max_msg_size=MAX_FRAME_BYTES,
                timeout=closing(ws_close=CLOSE_S),
                **options,
            )
        tally.count("WEBSOCKET", "1xx")
        try:
            yield _AiohttpWebSocket(socket, lambda: self._translated(CONNECT_S))
        finally:
            await socket.close()

    async def _options(self, timeout_s: float | None, headers: Mapping[str, str]) -> dict[str, Any]:
        configuration = self._login.configuration
        options: dict[str, Any] = {"headers": {"Accept": "application/json", "User-Agent": "cnibot", **headers}}
        if authorization := await self._login.authorization():
            options["headers"]["Authorization"] = authorization
        if timeout_s:
            options["timeout"] = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
            options["allow_redirects"] = False
        if name := self._login.verified_name:
            options["server_hostname"] = name
        if configuration.proxy:
            options["proxy"] = configuration.proxy
        return options

    @contextmanager
    def _counted(self, method: str) -> Generator[None, None, None]:
        """Counts what gets no answer; whoever has one counts that."""
        try:
            yield
        except UnreachableError as error:
            tally.count(method, error.kind)
            raise
        except DeadlineError:
            tally.count(method, "late")
            raise

    @contextmanager
    def _translated(self, timeout_s: float) -> Generator[None, None, None]:
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            raise UnreachableError(self.server, "no-route", f"no connection within {CONNECT_S:g} s") from error
        except TimeoutError as error:
            raise DeadlineError(f"The API server {self.server} did not answer", timeout_s) from error
        except (aiohttp.ClientError, HttpProcessingError, ssl.SSLError, OSError) as error:
            raise UnreachableError(self.server, _trouble(error), _detail(error)) from error
        except ValueError as error:  # aiohttp's word for a URL or a header that cannot be
            raise self._login.unusable(str(error)) from error


class Stream:
    """A long answer."""

    def __init__(self, answer: aiohttp.ClientResponse, translated: Translated) -> None:
        self._answer = answer
        self._translated = translated
        self.status = answer.status

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines, each at most `MAX_LINE_BYTES` long. Errors: `TooLargeError`, and those of `request`."""
        while True:
            with self._translated():
                try:
                    line = await self._answer.content.readline()
                except LineTooLong as error:
                    raise TooLargeError("A line of a watch", MAX_LINE_BYTES) from error
            if not line:
                return
            yield line

    async def response(self) -> Response:
        """The answer as a whole, for errors."""
        with self._translated():
            return Response(status=self.status, body=await _read(self._answer, "The answer to a watch"))


class RefusedUpgrade(Exception):  # noqa: N818 - not an error yet: the caller makes one of it
    """The server answered a WebSocket handshake with something else."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _AiohttpWebSocket(WebSocket):
    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool], translated: Translated) -> None:
        self._socket = socket
        self._translated = translated

    @property
    def protocol(self) -> str:
        return self._socket.protocol or ""

    async def send(self, data: bytes) -> None:
        with self._translated():
            await self._socket.send_bytes(data)

    async def frames(self) -> AsyncIterator[Frame]:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                yield Frame(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                yield Frame(message.data.encode())


async def _keep_refusals_of_upgrades(answer: aiohttp.ClientResponse) -> None:
    """Keep the body with which a server refuses an upgrade: aiohttp drops it, and it says why."""
    if answer.request_info.headers.get("Upgrade") and answer.status != 101:
        body = await _read(answer, "The refusal of a WebSocket")
        raise RefusedUpgrade(Response(status=answer.status, body=body))


async def _read(answer: aiohttp.ClientResponse, what: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_chunked(2**18):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise TooLargeError(what, MAX_ANSWER_BYTES)
        chunks.append(chunk)
    return b"".join(chunks)


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds; Kubernetes never sends its other form, a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _trouble(error: BaseException) -> Trouble:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "dropped"
    number = error.errno if isinstance(error, OSError) else None
    return _TROUBLES.get(number or 0, "other")


def _detail(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
