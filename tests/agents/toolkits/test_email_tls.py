"""Mail over encrypted connections, to a real SMTP server (aiosmtpd) with a certificate (trustme).

Contract: E23, E17.
"""

from __future__ import annotations

import asyncio
import email.message
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyslm.agents import Tool
from pyslm.agents.models.model import Call
from pyslm.agents.toolbox import Toolbox, ToolResult
from pyslm.agents.toolkits import OfflineQueue
from pyslm.agents.toolkits.mail import email_tools

controller = pytest.importorskip("aiosmtpd.controller")
smtp = pytest.importorskip("aiosmtpd.smtp")
trustme = pytest.importorskip("trustme")

PASSWORD = "correct horse"
WANTED = smtp.AuthResult(success=True)
REFUSED = smtp.AuthResult(success=False, handled=False)


class Inbox:
    """What has come, and whether it came encrypted."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bool]] = []
        self.logins: list[tuple[bytes, bool]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002
        body = email.message_from_bytes(envelope.content).get_payload()
        channel = server.transport.get_extra_info("ssl_object")
        self.got.append((str(body).strip(), channel is not None))
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, way: str, data: Any) -> Any:  # noqa: ARG002
        self.logins.append((data.login, session.ssl is not None))
        return WANTED if data.password == PASSWORD.encode() else REFUSED


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture
def certificate(authority: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine knows who signed the server's certificate."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def serve(inbox: Inbox) -> Iterator[Callable[..., int]]:
    running: list[Any] = []

    def start(port: int | None = None, **settings: Any) -> int:
        at = port or free_port()
        running.append(controller.Controller(inbox, hostname="127.0.0.1", port=at, **settings))
        running[-1].start()
        return at

    yield start
    for each in running:
        each.stop()


def sender(tmp_path: Path, url: str, **settings: Any) -> Tool:
    for part in ("cur", "new", "tmp"):
        (tmp_path / "mail" / part).mkdir(parents=True, exist_ok=True)
    return email_tools(tmp_path / "mail", url, "me@example.com", **settings)[-1]


def sent(tools: list[Tool]) -> ToolResult:
    mail = {"to": ["a@example.com"], "subject": "s", "body": "hello"}
    return asyncio.run(Toolbox(tools).run([Call("c1", "email_send", json.dumps(mail))]))[0]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_a_password_goes_only_after_starttls(
    tmp_path: Path, serve: Any, certificate: ssl.SSLContext, inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch, password: str,
) -> None:  # fmt: skip
    port = serve(tls_context=certificate, require_starttls=True, auth_required=True,
                 authenticator=inbox.authenticate)  # fmt: skip
    monkeypatch.setenv("MAIL_PASSWORD", password)
    tool = sender(tmp_path, f"smtp://127.0.0.1:{port}", starttls=True, user="me",
                  password_env="MAIL_PASSWORD")  # fmt: skip
    result = sent([tool])
    assert inbox.logins
    assert set(inbox.logins) == {(b"me", True)}
    if password == PASSWORD:
        assert result.content == "sent to a@example.com"
        assert inbox.got == [("hello", True)]
    else:
        assert result.outcome == "failed"
        assert "535" in result.content
        assert inbox.got == []
    assert password not in result.content


@pytest.mark.usefixtures("trusted")
def test_a_connection_that_is_encrypted_from_the_start(
    tmp_path: Path, serve: Any, certificate: ssl.SSLContext, inbox: Inbox
) -> None:
    port = serve(ssl_context=certificate)
    assert sent([sender(tmp_path, f"smtps://127.0.0.1:{port}")]).ok
    assert inbox.got == [("hello", True)]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_nobody_vouches_for_gets_nothing(
    tmp_path: Path, serve: Any, certificate: ssl.SSLContext, inbox: Inbox, scheme: str
) -> None:
    kind = "tls_context" if scheme == "smtp" else "ssl_context"
    port = serve(**{kind: certificate})
    result = sent([sender(tmp_path, f"{scheme}://127.0.0.1:{port}", starttls=True)])
    assert result.outcome == "failed"
    assert "certificate" in result.content.lower()
    assert inbox.got == []


@pytest.mark.usefixtures("trusted")
def test_a_server_without_encryption_gets_nothing(tmp_path: Path, serve: Any, inbox: Inbox) -> None:
    result = sent([sender(tmp_path, f"smtp://127.0.0.1:{serve()}", starttls=True)])
    assert result.outcome == "failed"
    assert "STARTTLS" in result.content
    assert inbox.got == []


@pytest.mark.usefixtures("trusted")
def test_what_was_kept_offline_goes_out_encrypted(
    tmp_path: Path, serve: Any, certificate: ssl.SSLContext, inbox: Inbox
) -> None:
    port = free_port()
    tool = sender(tmp_path, f"smtp://127.0.0.1:{port}", starttls=True)
    # Machines without any network have no route, either.
    queue = OfflineQueue(online=lambda: True)
    tools = queue.tools([Tool(tool.function, network=True, writes=True)])
    assert json.loads(sent(tools).content)["status"] == "queued"
    serve(port, tls_context=certificate, require_starttls=True)
    assert [call.state for call in queue.sync()] == ["done"]
    queue.close()
    assert inbox.got == [("hello", True)]
