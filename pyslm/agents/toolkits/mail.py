"""The toolkit `email`: mail read from a maildir, and sent by an SMTP server.

What is read was written by strangers: the tools that read are not `trusted`, so that a conversation
with a mail in it writes and sends nothing without approval. Sending is sensitive: a policy must
name it.
"""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import fnmatch
import mailbox
import os
import re
import smtplib
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pyslm.agents.security.privacy import is_near
from pyslm.agents.toolkits.maildir import Mailbox
from pyslm.agents.toolkits.registry import default_folder
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError, OfflineError

__all__ = ["email_tools"]

_PORTS = {"smtp": 25, "smtps": 465}
_REPLIES = 6
"""Of a server to one mail, each of which may take the time that the settings give."""
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")


def email_tools(
    maildir: Path | None = None,
    smtp: str | None = None,
    sender: str | None = None,
    user: str | None = None,
    password_env: str = "PYSLM_SMTP_PASSWORD",
    starttls: bool | None = None,
    recipients: Sequence[str] = ("*",),
    max_recipients: int = 10,
    timeout: float = 20.0,
) -> list[Tool]:
    """Tools for one mail box.

    Args:
        maildir: the folder that mail is read from. None: `mail` of the user's tools folder, made if
            need be.
        smtp: the server that sends, as "smtp://mail.example.com:587" or "smtps://...". None: no
            mail can be sent, and `email_send` is not offered.
        sender: the address that mail is sent from; needed with `smtp`.
        user: log in to the server with this name.
        password_env: the environment variable that holds its password.
        starttls: encrypt a connection of smtp://. None: for servers beyond this machine.
        recipients: patterns of addresses that mail may go to, such as "*@example.com".
        max_recipients: of one mail.
        timeout: seconds that the server may take.

    Raises:
        AgentConfigError: a setting is not allowed, or would send the password in the clear.
    """
    tools: list[Tool] = []
    box = Mailbox(_existing(maildir))
    tools += [Tool(box.email_list, trusted=False), Tool(box.email_read, trusted=False)]
    if smtp is None:
        return tools
    if sender is None or not _ADDRESS.fullmatch(sender):
        raise AgentConfigError(f"sender is {sender!r:.80}; allowed with smtp: an address")
    server = _server(smtp, user, password_env, starttls, timeout)
    outbox = _Outbox(server, sender, tuple(recipients), max_recipients)
    tools.append(
        Tool(
            outbox.email_send,
            sensitive=True,
            writes=True,
            network=not is_near(server.host),
            timeout=_REPLIES * timeout,
        )
    )
    return tools


def _existing(maildir: Path | None) -> Path:
    if maildir is None:
        maildir = default_folder() / "mail"
        maildir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mailbox.Maildir(maildir, create=True).close()
    if not all((maildir / part).is_dir() for part in ("cur", "new")):
        raise AgentConfigError(f"{maildir} is no maildir: it has no folders cur and new")
    return maildir


class _Server:
    """Where mail is sent, and how."""

    def __init__(
        self, url: str, user: str | None, password_env: str, starttls: bool | None, timeout: float
    ) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS[parts.scheme]
        self.user = user
        self.timeout = timeout
        self._is_encrypted = parts.scheme == "smtps"
        self.starttls = not is_near(self.host) if starttls is None else starttls
        self._password_env = password_env
        if self.user and not (self._is_encrypted or self.starttls or is_near(self.host)):
            raise AgentConfigError(
                f"the password of {self.user} would go to {self.host} in the clear; use smtps:// "
                "or starttls"
            )

    def send(
        self, message: email.message.EmailMessage, sender: str, to: Sequence[str]
    ) -> list[str]:
        """Gives those whom the server refused. Raises OfflineError where it cannot be reached:
        then nothing was sent."""
        context = ssl.create_default_context()
        try:
            if self._is_encrypted:
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=self.timeout, context=context
                )
            else:
                client = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        except PermissionError:  # privacy mode
            raise
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            if isinstance(error, ssl.SSLError):
                raise
            raise OfflineError(
                f"the mail server {self.host}:{self.port} cannot be reached: {error}"
            ) from error
        with client:
            if self.starttls and not self._is_encrypted:
                client.starttls(context=context)
            if self.user:
                client.login(self.user, self._password())
            return list(client.send_message(message, sender, list(to)))

    def _password(self) -> str:
        password = os.environ.get(self._password_env)
        if not password:
            raise RuntimeError(f"the environment variable {self._password_env} holds no password")
        return password


def _server(
    url: str, user: str | None, password_env: str, starttls: bool | None, timeout: float
) -> _Server:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise AgentConfigError(
            f"smtp is {url!r:.80}; allowed: such as smtp://mail.example.com:587, or smtps://"
        )
    if parts.username or parts.password:
        raise AgentConfigError(
            "smtp holds a user or a password; give `user`, and the password in the environment "
            f"variable {password_env}"
        )
    if not timeout > 0:
        raise AgentConfigError(f"timeout of the tool email is {timeout}; allowed: above 0")
    return _Server(url, user, password_env, starttls, timeout)


class _Outbox:
    def __init__(
        self, server: _Server, sender: str, allowed: tuple[str, ...], max_recipients: int
    ) -> None:
        self._server = server
        self._sender = sender
        self._allowed = allowed
        self._max_recipients = max_recipients

    def email_send(self, to: list[str], subject: str, body: str) -> str:
        """Send a mail.

        Args:
            to: the addresses of those who get it.
            subject: what it is about, in one line.
            body: its text.
        """
        self._check(to)
        message = email.message.EmailMessage(policy=email.policy.SMTP)
        message["From"] = self._sender
        message["To"] = ", ".join(to)
        message["Subject"] = subject  # refuses line breaks, which would begin other headers
        message["Date"] = email.utils.localtime()
        message["Message-ID"] = email.utils.make_msgid(domain=self._sender.partition("@")[2])
        message.set_content(body)
        refused = self._server.send(message, self._sender, to)
        sent = [address for address in to if address not in refused]
        not_to = f"; the server refused {', '.join(refused)}" if refused else ""
        return f"sent to {', '.join(sent)}{not_to}"

    def _check(self, to: Sequence[str]) -> None:
        if not 1 <= len(to) <= self._max_recipients:
            raise ValueError(f"to has {len(to)} addresses; allowed: 1 to {self._max_recipients}")
        for address in to:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r:.80} is no address; allowed: such as ann@example.com")
            known = (fnmatch.fnmatchcase(address.lower(), p.lower()) for p in self._allowed)
            if not any(known):
                raise PermissionError(
                    f"mail to {address:.80} is not allowed; allowed: {', '.join(self._allowed)}"
                )
