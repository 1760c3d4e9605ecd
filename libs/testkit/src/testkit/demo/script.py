"""What the demo's campaign manager writes: contacts, and the sequence in its versions."""

import csv
from pathlib import Path
from typing import Any, Final

SEQUENCE: Final = "demo-onboarding"
CANARY: Final = "canary-7f3c2a9e"
"""Stands in every text of the sequence; after the deletion it must stand nowhere."""
FIRST_DELAY_SECONDS: Final = 6
SECOND_DELAY_SECONDS: Final = 6
THANKS_DELAY_SECONDS: Final = 1
FIRST_HOOK: Final = "crm-first-edition"
SECOND_HOOK: Final = "crm-second-edition"
STEPS: Final = ("welcome", "tips", "crm", "thanks")


def write_contacts(path: Path, count: int) -> None:
    """A CSV of contacts with an e-mail address and a WhatsApp number."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["contact_id", "first_name", "email", "whatsapp", "timezone"])
        for number in range(count):
            contact = f"c-{number:05d}"
            rows.writerow([contact, f"Name {number}", f"{contact}@example.com", f"+4915{number:09d}", "Europe/Berlin"])


def first_draft() -> dict[str, Any]:
    """What was written before lunch: one step."""
    return {"name": f"Onboarding {CANARY}", "campaign": "demo", "steps": [_welcome()]}


def first_edition(sink_http: str) -> dict[str, Any]:
    """The whole sequence, as it is first published: WhatsApp at once, then an e-mail, then a webhook."""
    return {
        "name": f"Onboarding {CANARY}",
        "campaign": "demo",
        "steps": [
            _welcome(),
            _email("tips", after=FIRST_DELAY_SECONDS, subject="Three tips, {{ contact.first_name }}"),
            _webhook(f"{sink_http}/webhook/{FIRST_HOOK}"),
        ],
    }


def second_edition(sink_http: str) -> dict[str, Any]:
    """The same with another address for the webhook, and a last e-mail that was not there before."""
    edited = first_edition(sink_http)
    _, tips, _ = edited["steps"]
    thanks = _email("thanks", after=THANKS_DELAY_SECONDS, subject="Thank you, {{ contact.first_name }}")
    return {**edited, "steps": [_welcome(), tips, _webhook(f"{sink_http}/webhook/{SECOND_HOOK}"), thanks]}


def _email(step_id: str, *, after: int, subject: str) -> dict[str, Any]:
    text = f"Hi {{{{ contact.first_name }}}}, here it is. {CANARY}"
    return {
        "step_id": step_id,
        "after": f"{after}s",
        "message": {"channel": "email", "subject": subject, "text": text},
    }


def _webhook(url: str) -> dict[str, Any]:
    return {
        "step_id": "crm",
        "after": f"{SECOND_DELAY_SECONDS}s",
        "message": {"channel": "webhook", "url": url, "json": {"contact": "{{ contact.id }}", "note": CANARY}},
    }


def _welcome() -> dict[str, Any]:
    return {
        "step_id": "welcome",
        "after": "0s",
        "message": {
            "channel": "whatsapp",
            "template": "welcome_1",
            "language": "en",
            "variables": {"1": "{{ contact.first_name }}"},
        },
    }
