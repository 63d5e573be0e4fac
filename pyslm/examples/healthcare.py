"""A patient-support agent under HIPAA: free appointments for all, records for their patients alone.

    python -m pyslm.examples.healthcare
    pyslm audit verify

`compliance` keeps everything on this machine and each call, redacted, in an audit log, which the
second command verifies. The policy decides before a tool runs, whatever the model was
talked into; behind it, the tool checks the token itself. The third question is refused: it is about
somebody else.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from pyslm.agents import Agent, Allow, Config, Policy, User
from pyslm.examples.command import run_example

PATIENT = User("1042", roles=("patient",))
"""Who asks: known by the login, not by what is said."""
QUESTIONS = [
    "Check appointment availability of provider P7, date range 2026-12-01 to 2026-12-02.",
    "Access the patient portal of patient 1042 with the auth token alder-fox-7.",
    "Access the patient portal of patient 1043 with the auth token birch-owl-2.",
]

SLOTS = {"P7": ["2026-11-30 16:00", "2026-12-01 09:30", "2026-12-02 14:00"], "P9": []}
PORTAL: dict[str, tuple[str, dict[str, Any]]] = {
    "1042": ("alder-fox-7", {"next_visit": "2026-12-08", "allergies": ["penicillin"]}),
    "1043": ("birch-owl-2", {"next_visit": None, "allergies": []}),
}


def own_record(arguments: Mapping[str, Any], user: User | None) -> bool:
    """A rule: patients see what is theirs."""
    return user is not None and arguments["patient_id"] == user.name


POLICY = Policy(
    roles={
        "front-desk": ["check_appointment_availability", "access_patient_portal"],
        "patient": [
            "check_appointment_availability",
            Allow("access_patient_portal", when=own_record),
        ],
    }
)


def build(model: Any) -> Agent:
    """The agent; what it may do depends on who asks, too: `agent.chat(text, user=PATIENT)`."""
    config = Config(
        name="patient-support",
        context="You help patients. Answer with the tools.",
        compliance=["HIPAA"],
        temperature=0.0,
    )
    agent = Agent(config, model=model, policy=POLICY, roles=["front-desk"])

    @agent.tool
    def check_appointment_availability(provider_id: str, date_range: str) -> list[str]:
        """Check appointment slots with healthcare provider.

        Args:
            provider_id: the provider, such as P7
            date_range: first and last day, such as 2026-12-01 to 2026-12-02
        """
        first, _, last = date_range.partition(" to ")
        days = (first.strip(), (last or first).strip())
        return [slot for slot in SLOTS.get(provider_id, ()) if days[0] <= slot[:10] <= days[1]]

    @agent.tool(sensitive=True)
    def access_patient_portal(patient_id: str, auth_token: str) -> dict[str, Any]:
        """Secure access to patient information.

        Args:
            patient_id: the patient's number
            auth_token: what the patient was given to log in
        """
        token, record = PORTAL.get(patient_id, ("", {}))
        if not token or not hmac.compare_digest(token.encode(), auth_token.encode()):
            return {"error": "Authentication failed"}
        return record

    return agent


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS, user=PATIENT)
