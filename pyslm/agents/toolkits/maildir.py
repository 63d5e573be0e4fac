"""Reads mails that strangers have sent, whatever they look like."""

from __future__ import annotations

import contextlib
import email.message
import email.policy
import html.parser
import mailbox
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Mailbox"]

_MAX_BODY_CHARS = 10_000
_MAX_HEADER_CHARS = 300
_MAX_MESSAGE_BYTES = 25 << 20


class Mailbox:
    """Reads; marks and moves nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def email_list(
        self, limit: int = 20, text: str = "", unread_only: bool = False
    ) -> list[dict[str, Any]]:
        """Show the newest mails.

        Args:
            limit: how many.
            text: only mails that have it in sender or subject.
            unread_only: only mails that nobody has read.
        """
        if not 1 <= limit <= 100:
            raise ValueError(f"limit is {limit}; allowed: 1 to 100")
        sought = text.casefold()
        shown = []
        for key, message in self._newest_first():
            entry = {
                "id": key,
                "from": _header(message, "From"),
                "subject": _header(message, "Subject"),
                "date": _header(message, "Date"),
                "unread": "S" not in _flags(message),
            }
            if sought not in f"{entry['from']}\n{entry['subject']}".casefold():
                continue
            if unread_only and not entry["unread"]:
                continue
            shown.append(entry)
            if len(shown) == limit:
                break
        return shown

    def email_read(self, id: str) -> dict[str, Any]:
        """Read one mail.

        Args:
            id: as email_list shows it.
        """
        with self._open() as box:
            if id not in box:
                raise ValueError(f"there is no mail {id!r:.80}; email_list shows which there are")
            message = _parsed(box, id)
        body = message.get_body(("plain", "html"))
        files = [part.get_filename() or "unnamed" for part in message.iter_attachments()]
        return {
            "from": _header(message, "From"),
            "to": _header(message, "To"),
            "subject": _header(message, "Subject"),
            "date": _header(message, "Date"),
            "body": _body_text(body)[:_MAX_BODY_CHARS],
            "attachments": files,
        }

    def _newest_first(self) -> Iterator[tuple[str, email.message.EmailMessage]]:
        with self._open() as box:
            keys = []
            for key in box.iterkeys():
                with contextlib.suppress(OSError, KeyError):  # moved away meanwhile
                    found = box.get_message(key)
                    keys.append((found.get_date(), key))
            for _, key in sorted(keys, reverse=True):
                with contextlib.suppress(OSError, KeyError):
                    yield key, _parsed(box, key)

    @contextlib.contextmanager
    def _open(self) -> Iterator[mailbox.Maildir]:
        box = mailbox.Maildir(self._folder, create=False)
        try:
            yield box
        finally:
            box.close()


def _parsed(box: mailbox.Maildir, key: str) -> email.message.EmailMessage:
    raw = box.get_bytes(key)
    found = email.message_from_bytes(raw[:_MAX_MESSAGE_BYTES], policy=email.policy.default)
    found.maildir_flags = box.get_message(key).get_flags()  # type: ignore[attr-defined]
    return found


def _flags(message: email.message.EmailMessage) -> str:
    return str(getattr(message, "maildir_flags", ""))


def _header(message: email.message.EmailMessage, name: str) -> str:
    """What strangers may have written in any way."""
    try:
        value = str(message.get(name, ""))
    except Exception:  # the parser of headers of hostile mails is not ours
        return ""
    return " ".join(value.split())[:_MAX_HEADER_CHARS]


def _body_text(body: Any) -> str:
    if body is None:
        return ""
    try:
        text = str(body.get_content())
    except (LookupError, UnicodeError, KeyError):  # a charset that does not exist
        payload = body.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return _PlainText.of(text) if body.get_content_type() == "text/html" else text.strip()


class _PlainText(html.parser.HTMLParser):
    """What a reader of a page sees; styles and scripts are no text."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._hidden = 0

    @classmethod
    def of(cls, page: str) -> str:
        parser = cls()
        parser.feed(page)
        parser.close()
        lines = (" ".join(line.split()) for line in "".join(parser._parts).splitlines())
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._hidden += tag in ("script", "style")
        if tag in ("p", "br", "div", "tr", "li", "h1", "h2", "h3"):
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style") and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(data)
