"""R5, R6: webhooks and e-mails sent end to end, beside the HTTP and SMTP clients alone."""

import asyncio
from collections.abc import Mapping
from functools import partial
from statistics import median
from typing import Any, Final

import orjson
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console

from benchmarks import workload
from benchmarks.arena import database
from benchmarks.figures import Figure, Measured, Round, in_turns
from benchmarks.loops.process import OWN_LOOP, heard, program
from benchmarks.sending import Sending

MESSAGES: Final = 40_000
PROCESSES: Final = 2
HTTP_CONNECTIONS: Final = 64
SMTP_CONNECTIONS: Final = 16
"""The defaults of a sender process."""
FIGURES: Final = (
    Figure("R5", "webhooks end to end ÷ bare aiohttp", 0.5, 0.7),
    Figure("R6", "e-mails end to end ÷ bare pooled SMTP", 0.5, 0.7),
)
BODY: Final = orjson.dumps({"contact": "c-0000001", "name": "Name 1", "plan": "trial"}).decode()
MAIL: Final = (
    "From: Sluice <sluice@example.org>\r\nTo: c-0000001@example.com\r\nSubject: Welcome, Name 1\r\n"
    "Date: Sun, 01 Mar 2026 09:00:00 +0000\r\nMessage-ID: <0b6d6f0e-8ee0-8b42-a3f4-4e54d6a1f0aa@example.org>\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    "Hi Name 1, this is where you start. Your number is c-0000001.\r\n"
)


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """In turns, to the same receiver, from as many processes with as many connections."""
    taken: dict[str, list[Round]] = {figure.name: [] for figure in FIGURES}
    beside: dict[str, list[Round]] = {figure.name: [] for figure in FIGURES}
    async with (
        database(stack) as conn,
        program("loops.http_receiver", {}) as http,
        program("loops.smtp_receiver", {}) as smtp,
    ):
        url = f"http://127.0.0.1:{(await heard(http))['port']}/hook"
        port = (await heard(smtp))["port"]
        webhooks, mails = _webhooks(stack, conn, url), _mails(stack, conn, port)
        http_client = {"url": url, "body": BODY, "connections": HTTP_CONNECTIONS}
        smtp_client = {"port": port, "mail": MAIL, "connections": SMTP_CONNECTIONS}
        for number in range(rounds):
            for name, ours, client, given in (
                ("R5", webhooks.rate, "http_send", http_client),
                ("R6", mails.rate, "smtp_send", smtp_client),
            ):
                one, alike = await in_turns(
                    number, ours, partial(_bare, client, given), partial(_bare, client, {**given, OWN_LOOP: True})
                )
                taken[name].append(one)
                beside[name].append(alike)
                console.print(
                    f"  {name}: {one.ours:,.0f} messages/s, the client {one.other:,.0f}, on asyncio's own event loop "
                    f"{alike.other:,.0f}"
                )
    settings = {
        "messages": MESSAGES,
        "processes": PROCESSES,
        "connections": {"http": HTTP_CONNECTIONS, "smtp": SMTP_CONNECTIONS},
    }
    return [
        Measured(figure, taken[figure.name], "messages a second", settings | _alike(beside[figure.name]))
        for figure in FIGURES
    ]


def _alike(rounds: list[Round]) -> dict[str, Any]:
    """What ours comes to beside a client on the same event loop."""
    ratio = round(median(one.value for one in rounds), 3)
    return {
        "the client on asyncio's own event loop": {"ratio": ratio, "other": [round(one.other or 0) for one in rounds]}
    }


def _webhooks(stack: Stack, conn: Conn, url: str) -> Sending:
    body = {"contact": "{{ contact.id }}", "name": "{{ contact.first_name }}", "plan": "trial"}
    step = {"step_id": "crm", "after": "0s", "message": {"channel": "webhook", "url": url, "json": body}}
    env = {
        "SLUICE_WEBHOOK_SECRET": stack.addresses.webhook_secret,
        "SLUICE_WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true",
        "SLUICE_WEBHOOK_CONNECTIONS_MAX": str(HTTP_CONNECTIONS),
    }
    return _sending(stack, conn, [step, *workload.DEFINITION["steps"][1:]], lane="webhook:", env=env)


def _mails(stack: Stack, conn: Conn, port: int) -> Sending:
    env = {
        "SLUICE_EMAIL_HOST": "127.0.0.1",
        "SLUICE_EMAIL_PORT": str(port),
        "SLUICE_EMAIL_FROM": "Sluice <sluice@example.org>",
        "SLUICE_EMAIL_TLS": "none",
        "SLUICE_EMAIL_CONNECTIONS_MAX": str(SMTP_CONNECTIONS),
    }
    return _sending(stack, conn, workload.DEFINITION["steps"], lane=workload.LANE, env=env)


def _sending(stack: Stack, conn: Conn, steps: list[Any], *, lane: str, env: Mapping[str, str]) -> Sending:
    definition = {"name": "Benchmark", "steps": steps}
    return Sending(stack, conn, workload.contact_ids(MESSAGES), definition, lane, processes=PROCESSES, env=env)


async def _bare(name: str, settings: Mapping[str, Any]) -> float:
    """Messages a second of as many processes as there are senders, each with its share."""

    async def one() -> float:
        async with program(f"loops.{name}", {**settings, "messages": MESSAGES // PROCESSES}) as process:
            return float((await heard(process))["seconds"])

    return MESSAGES / max(await asyncio.gather(*(one() for _ in range(PROCESSES))))
