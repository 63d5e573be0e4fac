"""What the profiles of `Config.compliance` ask for.

They switch on what software can do: privacy mode, an audit log without personal data, an end to how
long conversations are kept. They make nobody compliant by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from pyslm.agents.security.filters import REDACTED

__all__ = ["COMPLIANCE", "Profile", "profile_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """Requirements."""

    audit: bool = False
    """There has to be an audit log."""
    redacted: tuple[str, ...] = ()
    """Kinds of data that no log holds."""
    retention_days: float | None = None
    """After so long without use conversations are deleted."""


COMPLIANCE: Mapping[str, Profile] = {
    # 45 CFR 164.316(b)(2) wants documentation kept for six years: that of what was done, which is
    # the audit log. Conversations are no documentation, and go after a month.
    "HIPAA": Profile(audit=True, redacted=REDACTED, retention_days=30.0),
    # Art. 5(1)(c) and (e): no more data, and for no longer, than needed.
    "GDPR": Profile(audit=True, redacted=REDACTED, retention_days=30.0),
    # PCI DSS 3.2: card data is not stored; 10.5: a year of audit logs.
    "PCI": Profile(audit=True, redacted=("card", "iban", "secret"), retention_days=90.0),
}


def profile_of(names: Iterable[str]) -> Profile:
    """All requirements of several profiles."""
    chosen = [COMPLIANCE[name] for name in names]
    days = [each.retention_days for each in chosen if each.retention_days is not None]
    return Profile(
        audit=any(each.audit for each in chosen),
        redacted=tuple(k for k in REDACTED if any(k in each.redacted for each in chosen)),
        retention_days=min(days) if days else None,
    )
