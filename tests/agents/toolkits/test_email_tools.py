"""The toolkit `email` with a real SMTP server (aiosmtpd) and real maildirs. Contract: E23, E17."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
import json
import mailbox
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm.agents import Agent, Allow, ApprovalRequest, Config, Policy, Tool
from pyslm.agents.models.model import Call
from pyslm.agents.toolbox import Toolbox, ToolResult
from pyslm.agents.toolkits import OfflineQueue, named_tools
from pyslm.agents.toolkits.mail import email_tools
from pyslm.errors import AgentConfigError

controller = pytest.importorskip("aiosmtpd.controller")


class Inbox:
    """What an SMTP server has got."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], email.message.EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.got.append((envelope.rcpt_tos, message))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def server(inbox: Inbox) -> Iterator[str]:
    running = controller.Controller(inbox, hostname="127.0.0.1", port=free_port())
    running.start()
    yield f"smtp://127.0.0.1:{running.port}"
    running.stop()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    box = mailbox.Maildir(folder)
    for number, (subject, body) in enumerate([("Invoice", "Pay 20."), ("Grüße", "Hei på deg")]):
        message = email.message.EmailMessage()
        message["From"] = f"Ann <ann{number}@example.com>"
        message["To"] = "me@example.com"
        message["Subject"] = subject
        message.set_content(body)
        if number == 0:
            message.add_attachment(b"%PDF", "application", "pdf", filename="bill.pdf")
        kept = mailbox.MaildirMessage(message)
        kept.set_date(1_700_000_000 + number)
        kept.set_subdir("cur")
        kept.set_flags("S" if number == 0 else "")
        box.add(kept)
    box.close()
    return folder


def called(tools: list[Tool], name: str, /, **arguments: Any) -> ToolResult:
    call = Call("c1", name, json.dumps(arguments))
    return asyncio.run(Toolbox(tools).run([call]))[0]


def test_reads(maildir: Path) -> None:
    tools = email_tools(maildir)
    assert [(tool.name, tool.trusted) for tool in tools] == [
        ("email_list", False), ("email_read", False),
    ]  # fmt: skip
    listed = json.loads(called(tools, "email_list").content)
    assert [(mail["subject"], mail["unread"]) for mail in listed] == [
        ("Grüße", True), ("Invoice", False),
    ]  # fmt: skip
    (invoice,) = json.loads(called(tools, "email_list", text="invoice").content)
    read = json.loads(called(tools, "email_read", id=invoice["id"]).content)
    assert (read["from"], read["body"], read["attachments"]) == (
        "Ann <ann0@example.com>", "Pay 20.", ["bill.pdf"],
    )  # fmt: skip
    assert len(json.loads(called(tools, "email_list", unread_only=True).content)) == 1
    assert len(json.loads(called(tools, "email_list", limit=1).content)) == 1
    for wrong in ("nope", "../../etc/passwd", ""):
        assert "there is no mail" in called(tools, "email_read", id=wrong).content


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"Content-Type: text/html\n\n<style>p{}</style><p>Hi <b>you</b></p><script>x</script>",
         "Hi you"),
        (b"Content-Type: text/plain; charset=klingon\n\nplain", "plain"),
        (b"Subject: =?utf-8?b?////?=\n\nodd", "odd"),
        (b"From: <<<>>>\nTo: ,,,;\nDate: never\n\nodd", "odd"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x--", ""),
        (b"Content-Transfer-Encoding: base64\n\n!!!", None),
        (b"\xff\xfe\x00", None),
        (b"", ""),
    ],
)  # fmt: skip
def test_hostile_mails(tmp_path: Path, raw: bytes, body: str | None) -> None:
    box = mailbox.Maildir(tmp_path / "mail")
    key = box.add(raw)
    box.close()
    tools = email_tools(tmp_path / "mail")
    assert called(tools, "email_list").ok
    read = called(tools, "email_read", id=key)
    assert read.ok, read.content
    if body is not None:
        assert json.loads(read.content)["body"] == body


def test_sends(maildir: Path, server: str, inbox: Inbox) -> None:
    tools = email_tools(maildir, server, "me@example.com", recipients=["*@example.com"])
    send = tools[-1]
    assert (send.name, send.sensitive, send.writes, send.network) == (
        "email_send", True, True, False,
    )  # fmt: skip
    text = "Grüße,\n.\nme"
    result = called(tools, "email_send", to=["a@example.com", "b@Example.com"], subject="Hei på",
                    body=text)  # fmt: skip
    assert result.content == "sent to a@example.com, b@Example.com"
    ((to, message),) = inbox.got
    assert to == ["a@example.com", "b@Example.com"]
    assert message["Subject"] == "Hei på"
    assert message["From"] == "me@example.com"
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content().replace("\r\n", "\n").strip() == text


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        (["x@evil.com"], "s"),
        (["a@example.com, x@evil.com"], "s"),
        (["a@example.com\nBcc: x@evil.com"], "s"),
        (["Ann <a@example.com>"], "s"),
        ([], "s"),
        (["a@example.com"] * 11, "s"),
        (["a@example.com"], "s\nBcc: x@evil.com"),
    ],
)
def test_what_is_not_sent(
    maildir: Path, server: str, inbox: Inbox, to: list[str], subject: str
) -> None:
    tools = email_tools(maildir, server, "me@example.com", recipients=["*@example.com"])
    result = called(tools, "email_send", to=to, subject=subject, body="b")
    assert result.outcome == "failed", result.content
    assert inbox.got == []


def agent_that_sends(tools: list[Tool], approve: Any, policy: Policy | None) -> Agent:
    call = ("email_send", {"to": ["a@example.com"], "subject": "s", "body": "b"})
    model = ScriptedModel([call], "done")
    return Agent(Config(), model=model, tools=tools, roles=["mail"], approve=approve, policy=policy)


def test_only_what_is_approved_is_sent(maildir: Path, server: str, inbox: Inbox) -> None:
    asked: list[ApprovalRequest] = []

    def refuse(request: ApprovalRequest) -> bool:
        asked.append(request)
        return False

    tools = email_tools(maildir, server, "me@example.com")
    rules = Policy(roles={"mail": ["email_*", Allow("email_send", approval=True)]})
    wide = Policy(roles={"mail": ["*"]})
    for policy in (None, wide):  # no rule names it
        agent_that_sends(tools, lambda _: True, policy).chat("Write to Ann")
    agent_that_sends(tools, refuse, rules).chat("Write to Ann")
    assert inbox.got == []
    assert [(request.tool, request.arguments["to"]) for request in asked] == [
        ("email_send", ["a@example.com"])
    ]
    agent_that_sends(tools, lambda _: True, rules).chat("Write to Ann")
    assert len(inbox.got) == 1


def test_kept_while_offline(maildir: Path, inbox: Inbox) -> None:
    """The server is away, and comes back."""
    port = free_port()
    (*_, send) = email_tools(maildir, f"smtp://127.0.0.1:{port}", "me@example.com")
    far = Tool(send.function, network=True, writes=True)
    queue = OfflineQueue()
    tools = queue.tools([far])
    told = called(tools, "email_send", to=["a@example.com"], subject="s", body="later")
    assert json.loads(told.content)["status"] == "queued"
    queue.sync()
    assert inbox.got == []
    running = controller.Controller(inbox, hostname="127.0.0.1", port=port)
    running.start()
    try:
        # Machines without any network have no route, either.
        queue._online = lambda: True
        assert [call.state for call in queue.sync()] == ["done"]
    finally:
        running.stop()
        queue.close()
    assert [message.get_content().strip() for _, message in inbox.got] == ["later"]


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_TOOLS_DIR", str(tmp_path / "own"))
    assert called(named_tools("email"), "email_list").content == "[]"
    far = named_tools("email", {"smtp": "smtps://mail.example.com", "sender": "me@example.com"})
    assert far[-1].network
    for settings, why in (
        ({"maildir": "none"}, "is no maildir"),
        ({"smtp": "smtp://localhost"}, "sender"),
        ({"smtp": "localhost:25", "sender": "me@example.com"}, "smtp is"),
        ({"smtp": "smtp://me:pw@localhost", "sender": "me@example.com"}, "PYSLM_SMTP_PASSWORD"),
        ({"smtp": "smtp://mail.example.com", "sender": "me@example.com", "user": "me",
          "starttls": False}, "in the clear"),
        ({"smtpd": "x"}, "did you mean smtp"),
    ):  # fmt: skip
        with pytest.raises(AgentConfigError, match=why):
            named_tools("email", settings, tmp_path)
