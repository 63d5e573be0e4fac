"""Runs a server: binds, loads, listens, and ends when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self

import uvicorn

from pyslm.errors import InvalidRequestError
from pyslm.serve.app import build_app, key_ring
from pyslm.serve.config import ServeConfig
from pyslm.serve.extension import ServerExtension
from pyslm.serve.logs import configure_logs
from pyslm.serve.origins import is_loopback
from pyslm.serve.registry import Registry
from pyslm.serve.tracing import Tracing, open_tracing

__all__ = ["check_certificate", "check_exposure", "serve"]

_log = logging.getLogger(__name__)
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 30
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    config: ServeConfig,
    on_ready: Callable[[str], None] = lambda url: None,
    extension: ServerExtension | None = None,
    *,
    ends_process: bool = False,
) -> None:
    """Serves until SIGTERM or SIGINT; requests that run then get `drain_seconds`, unless a second
    signal comes. Call it on the main thread.

    Args:
        on_ready: called with the URL once requests are taken.
        extension: more that the server does.
        ends_process: nothing comes after it, and signals stay without effect. Else their handlers
            are afterwards what they were.

    Raises:
        InvalidRequestError: the settings would expose the server without protection.
        OSError: the address cannot be bound.
        PyslmError: a model named in the settings cannot be loaded.
    """
    check_exposure(config)
    check_certificate(config)
    configure_logs(config.log_level, as_json=config.log_json)
    tracing = open_tracing(config.otel_endpoint)
    listener = _bind(config)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    has_served = False
    try:
        with listener, contextlib.suppress(asyncio.CancelledError):  # stopped while it loaded
            _run(_serve(config, listener, on_ready, tracing, extension))
        has_served = True
    finally:
        if tracing is not None:
            tracing.close()
        if not (ends_process and has_served):
            for number, handler in before.items():
                signal.signal(number, handler)


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def check_exposure(config: ServeConfig) -> None:
    """Beyond this machine a server needs a key and TLS, or that one says it does not."""
    if is_loopback(config.host) or config.allow_insecure:
        return
    missing = []
    if key_ring(config).is_empty:
        missing.append("an API key (--api-key, or `pyslm keys create`)")
    if config.tls_cert is None:
        missing.append("TLS (--tls-cert and --tls-key)")
    if missing:
        raise InvalidRequestError(
            f"--host {config.host} can be reached from other machines, which needs "
            f"{' and '.join(missing)}; --insecure serves without"
        )


def check_certificate(config: ServeConfig) -> None:
    """Certificate and key come together and fit, which is told before any model is loaded."""
    cert, key = config.tls_cert, config.tls_key
    if cert is None and key is None:
        return
    if cert is None or key is None:
        given, missing = (
            ("--tls-key", "--tls-cert") if cert is None else ("--tls-cert", "--tls-key")
        )
        raise InvalidRequestError(f"{given} needs {missing}: TLS takes a certificate and its key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:  # also ssl.SSLError
        reason = error.strerror or str(error)
        raise InvalidRequestError(
            f"--tls-cert {cert} and --tls-key {key} cannot be used: {reason}; both are PEM files, "
            "the key without a password"
        ) from None


async def _serve(
    config: ServeConfig,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    tracing: Tracing | None,
    extension: ServerExtension | None,
) -> None:
    with _Signals() as signals:
        async with Registry(config) as registry:
            server = _Server(config, registry, tracing, extension)
            signals.stop = server.stop
            url = _url(config, listener)
            announcing = asyncio.create_task(server.announce(lambda: on_ready(url)))
            await server.serve(sockets=[listener])
            announcing.cancel()
            signals.stop = _be_patient


class _Server(uvicorn.Server):
    """uvicorn, with our meaning of signals."""

    def __init__(
        self,
        config: ServeConfig,
        registry: Registry,
        tracing: Tracing | None,
        extension: ServerExtension | None,
    ) -> None:
        settings = uvicorn.Config(
            build_app(config, registry, tracing, extension),
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(config.drain_seconds),
            backlog=_BACKLOG,
            proxy_headers=False,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
        )
        settings.load()
        if settings.ssl is not None:
            settings.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(settings)
        self._registry = registry
        self._extension = extension
        self._drain_seconds = config.drain_seconds
        self._stopping: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """The first time: take nothing new and finish what runs. The second: stop."""
        if self._stopping is not None:
            _log.warning("stopping at once")
            self._stopping.cancel()
            self._close()
            self.force_exit = True
            for task in self.server_state.tasks:
                task.cancel()
            return
        _log.info("stopping: running requests may end (a second signal stops at once)")
        self._stopping = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        if self._extension is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._drain_seconds):
                    await self._extension.drain()
        self._close()

    def _close(self) -> None:
        self._registry.begin_closing()
        self.should_exit = True

    async def announce(self, ready: Callable[[], None]) -> None:
        """Calls `ready` once requests are taken."""
        while not self.started:
            await asyncio.sleep(0.005)
        ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are ours already


class _Signals:
    """SIGTERM and SIGINT call `stop`, and afterwards nothing: the process may be about to end.

    One that comes while the workers end, or Python does, would otherwise kill us: sockets would
    stay behind, and a clean end would be told as -15.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.stop: Callable[[], object] = task.cancel  # while the models load
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._handle(self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle(signal.SIG_IGN)  # the one handler Python leaves alone as it ends

    def _handle(self, handler: Callable[..., object] | signal.Handlers) -> None:
        for number in _SIGNALS:
            signal.signal(number, handler)

    def _on_signal(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(lambda: self.stop())


def _be_patient() -> None:
    _log.info("stopping: the workers are ending")


def _bind(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        where = f"{config.host}:{config.port}"
        raise OSError(f"cannot listen on {where}: {error.strerror or error}") from None
    return listener


def _url(config: ServeConfig, listener: socket.socket) -> str:
    scheme = "http" if config.tls_cert is None else "https"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"
