"""What providers and recipients say, over a real HTTP server: reports, replies, bounces and opt-outs."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from chassis.clock import utc_now
from chassis.health import Health
from delivery.domain.report import opaque
from delivery.domain.unsubscribe import token_of
from delivery.handlers import reports
from delivery.handlers.reports import on_post
from delivery.loops.receiver import Receiver, ReceiverSecrets
from messaging import derive
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

pytestmark = pytest.mark.stack

World = Any
Client = TestClient[web.Request, web.Application]
APP_SECRET = "app-secret"
REPORT_KEY = b"0123456789abcdef0123456789abcdef"
UNSUBSCRIBE_KEY = "a secret that never changes"
NOBODY = "00000000-0000-8000-a000-000000000000"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    receiver = Receiver(
        world.pipeline,
        host="127.0.0.1",
        port=0,
        secrets=ReceiverSecrets(
            whatsapp_app=SecretStr(APP_SECRET),
            report=SecretStr("whsec_" + base64.b64encode(REPORT_KEY).decode()),
            unsubscribe=SecretStr(UNSUBSCRIBE_KEY),
        ),
        health=Health(registry=CollectorRegistry()),
    )
    async with TestClient(TestServer(receiver.application())) as opened:
        yield opened


def signed(body: bytes, *, post_id: str = "post-1", age: int = 0, key: bytes = REPORT_KEY) -> dict[str, str]:
    seconds = str(int(utc_now().timestamp()) - age)
    signature = hmac.digest(key, f"{post_id}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": post_id,
        "webhook-timestamp": seconds,
        "webhook-signature": "v1,bm90IHRoaXMgb25l v1," + base64.b64encode(signature).decode(),
    }


async def report(client: Client, kind: str, *, post_id: str = "post-1", **data: Any) -> tuple[int, Any]:
    body = orjson.dumps({"type": kind, "data": data})
    answer = await client.post("/reports", data=body, headers=signed(body, post_id=post_id))
    return answer.status, await answer.json()


async def bounce(client: Client, message_id: str, action: str = "failed") -> tuple[int, Any]:
    body = (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nAction: {action}\nStatus: 5.1.1\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <{message_id}@example.org>\n\n--b--\n"
    ).encode()
    answer = await client.post("/bounces", data=body, headers={"Content-Type": "message/rfc822", **signed(body)})
    return answer.status, await answer.json()


async def whatsapp(client: Client, **value: Any) -> int:
    body = orjson.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]})
    signature = "sha256=" + hmac.digest(APP_SECRET.encode(), body, hashlib.sha256).hex()
    return (await client.post("/whatsapp", data=body, headers={"X-Hub-Signature-256": signature})).status


async def set_up(world: World, *contacts: str, **person: Any) -> None:
    await world.sequence()
    await world.contacts(*contacts, **person)
    await world.enroll(*contacts)


async def sent_message(world: World, sent: Any, **more: Any) -> str:
    """The id of a message that was sent."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = sent(row, "again", **more)
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def unknown_message(world: World, booking: Any, wait: timedelta = timedelta(minutes=10)) -> str:
    """The id of a message whose answer was lost."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "unknown", retry_after=wait)
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def tried_message(world: World, booking: Any, **more: Any) -> tuple[str, str]:
    """The ids of a message that is to be sent again in an hour, and of its enrollment."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "retry", retry_after=timedelta(hours=1), **more)
    await world.book(made)
    await world.said()
    return str(made.message_id), row.enrollment_id


# -- what is to be sent again, and has arrived


@pytest.mark.parametrize("kind", ["delivered", "read", "complained"])
@pytest.mark.parametrize("in_doubt", [False, True])
async def test_what_has_arrived_after_all_is_sent_and_not_sent_again(
    client: Client, world: World, booking: Any, kind: str, in_doubt: bool
) -> None:
    doubt = {"in_doubt": True, "event": b"{}"} if in_doubt else {}
    message_id, enrollment_id = await tried_message(world, booking, **doubt)

    status, body = await report(client, f"message.{kind}", message_id=message_id, provider_message_id="p-1")
    said = await world.said()
    await world.go("planner")

    assert (status, body) == (200, {"known": 1})
    assert [one.type for one in said][:2] == ["MessageSent", "MessageReported"]
    assert {name: said[0].data[name] for name in ("message_id", "step_id", "attempt", "provider_message_id")} == {
        "message_id": message_id,
        "step_id": "hello",
        "attempt": 1,
        "provider_message_id": "p-1",
    }
    assert await world.outcomes() == [("hello", "sent")]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}
    row = await world.row(enrollment_id)
    assert (row["step_id"], row["lane"], row["attempt"], row["ended"], row["in_doubt"]) == (
        "again",
        "email:",
        0,
        ["hello"],
        False,
    )
    assert row["due_active"] - row["base_active"] == timedelta(days=2)


async def test_a_long_post_is_taken_in_transactions_of_a_bounded_size(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def counted(post: Any, tx: Any, *, provider: str) -> int:
        sizes.append(len(post))
        return await on_post(post, tx, provider=provider)

    monkeypatch.setattr("delivery.loops.receiver.taking.on_post", counted)
    ids = [derive("long", str(number)) for number in range(1_200)]

    status = await whatsapp(
        client,
        statuses=[{"status": "read", "id": "w", "biz_opaque_callback_data": one} for one in ids],
        messages=[{"id": "w", "from": "491701234567", "type": "text"}],
    )

    assert status == 200
    assert sizes == [500, 500, 200, 1]
    assert await world.rows("early_report") == 1_200


async def test_what_bounced_is_tried_again_and_the_bounce_is_told_when_it_has_ended(
    client: Client, world: World, booking: Any
) -> None:
    message_id, enrollment_id = await tried_message(world, booking)

    _, body = await report(client, "message.bounced", message_id=message_id)

    assert body == {"known": 0}
    assert await world.said() == []
    assert (await world.row(enrollment_id))["step_id"] == "hello"
    assert await world.rows("early_report") == 1


async def test_a_report_that_comes_amid_an_attempt_ends_the_message_where_that_fails(
    client: Client, world: World, booking: Any
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "retry", retry_after=timedelta(hours=1))

    _, body = await report(client, "message.delivered", message_id=made.message_id)
    amid = await world.go("resolver")
    await world.book(made)
    await world.said()
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set look_at = clock_timestamp()")
    said = await world.go("resolver")

    assert body == {"known": 0}
    assert amid == []
    assert [one.type for one in said] == ["MessageSent", "MessageReported"]
    assert await world.rows("early_report") == 0
    assert await world.claim() == []


async def test_what_a_dead_sender_left_and_has_arrived_is_not_sent_again(client: Client, world: World) -> None:
    hook = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    await world.sequence(published={"name": "N", "steps": [{"step_id": "hook", "after": "0s", "message": hook}]})
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim(lane="webhook:")
    await world.go("reaper")
    world.monotonic.move(22.1)
    await world.go("reaper")

    await report(client, "message.delivered", message_id=derive(row.enrollment_id, row.step_id))
    said = [*await world.said(), *await world.go("planner")]

    assert [one.type for one in said] == ["MessageSent", "MessageReported", "StepsFinished"]
    assert await world.claim(lane="webhook:") == []
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_what_has_arrived_under_a_pause_goes_on_from_the_pause(
    client: Client, world: World, booking: Any
) -> None:
    message_id, enrollment_id = await tried_message(world, booking)
    async with world.pool.acquire() as conn:
        at = await conn.fetchval("select clock_timestamp()")
    await world.pause(at=at)

    await report(client, "message.delivered", message_id=message_id)

    assert (await world.row(enrollment_id))["base_active"] == at
    assert await world.outcomes() == [("hello", "sent")]


async def test_reports_of_two_providers_are_each_told_or_kept(client: Client, world: World, sent: Any) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    made = sent(row, "again")
    async with world.pool.acquire() as conn:
        for provider, kind in (("email", "delivered"), ("whatsapp", "read")):
            await conn.execute(
                "insert into early_report values ($1::uuid, $2, $3, null, clock_timestamp(), clock_timestamp())",
                made.message_id,
                kind,
                provider,
            )
    announced: list[str] = []
    original = reports.announce

    async def booked_amid(tx: Any, said: Any, *, provider: str) -> Any:
        found = await original(tx, said, provider=provider)
        announced.append(provider)
        if len(announced) == 1:
            await world.book(made)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "announce", booked_amid)
        said = [one for one in await world.go("resolver") if one.type == "MessageReported"]

    assert announced[:2] == ["email", "whatsapp"]
    assert [one.data["report"] for one in said] == ["read"]
    assert await world.rows("early_report", "kind = 'delivered'") == 1


# -- reports of messages


@pytest.mark.parametrize("kind", ["delivered", "read", "bounced"])
async def test_a_report_in_our_words_is_announced(world: World, client: Client, sent: Any, kind: str) -> None:
    message_id = await sent_message(world, sent)

    answer = await report(client, f"message.{kind}", message_id=message_id, provider_message_id="p-1")

    (event,) = await world.said()
    assert answer == (200, {"known": 1})
    assert (event.type, event.topic, event.key) == ("MessageReported", "delivery.events", "c")
    assert (event.data["report"], event.data["message_id"]) == (kind, message_id)
    assert await world.outcomes() == [("hello", "sent")]


async def test_who_complains_has_opted_out(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)

    await report(client, "message.complained", message_id=message_id)

    told, opted_out = await world.said()
    assert (told.type, told.data["report"]) == ("MessageReported", "complained")
    assert (opted_out.type, opted_out.topic, opted_out.key) == ("ContactOptedOut", "contacts.activity", "c")
    assert opted_out.data["reason"] == "complained"
    assert "channel" not in opted_out.data


async def test_the_same_report_again_by_whatever_way_is_the_same_event_again(
    world: World, client: Client, sent: Any
) -> None:
    message_id = await sent_message(world, sent)

    await report(client, "message.bounced", message_id=message_id)
    await report(client, "message.bounced", post_id="post-2", message_id=message_id)
    await bounce(client, message_id)

    assert len({one.envelope["id"] for one in await world.said()}) == 1


async def test_a_mail_that_came_back_has_bounced(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)

    answers = [await bounce(client, message_id, action) for action in ("delayed", "failed", "delivered")]

    assert answers == [(200, {"known": 0}), (200, {"known": 1}), (200, {"known": 1})]
    assert [one.data["report"] for one in await world.said()] == ["bounced", "delivered"]


# -- what was unknown


@pytest.mark.parametrize(
    ("kind", "outcome", "books"),
    [
        ("delivered", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("read", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("complained", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("bounced", "failed", {"planned": 1, "failed": 1}),
    ],
)
async def test_a_report_decides_what_was_unknown(
    world: World, client: Client, booking: Any, kind: str, outcome: str, books: dict[str, int]
) -> None:
    message_id = await unknown_message(world, booking)

    await report(client, f"message.{kind}", message_id=message_id)

    said = {one.type: one for one in await world.said()}
    assert said["MessageReported"].data["report"] == kind
    assert (said["MessageResolved"].data["outcome"], said["MessageResolved"].data["by"]) == (outcome, "report")
    assert await world.outcomes() == [("hello", outcome)]
    assert await world.books() == books


async def test_it_is_decided_once_whatever_is_reported_later(world: World, client: Client, booking: Any) -> None:
    message_id = await unknown_message(world, booking, wait=timedelta(0))

    await report(client, "message.delivered", message_id=message_id)
    await report(client, "message.bounced", post_id="post-2", message_id=message_id)
    said = [*await world.said(), *await world.go("resolver", "planner")]

    assert [one.type for one in said] == ["MessageReported", "MessageResolved", "MessageReported"]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_of_an_enrollment_that_was_removed_a_report_still_puts_the_books_right(
    world: World, client: Client, booking: Any
) -> None:
    message_id = await unknown_message(world, booking)
    await world.remove("c", world.enrollment_of("c"))

    await report(client, "message.delivered", message_id=message_id)

    assert [one.type for one in await world.said()] == ["MessageReported", "MessageResolved"]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 1, "sent": 1}


# -- before the send's own answer, and never


@pytest.mark.parametrize("ending", ["sent", "unknown"])
async def test_a_report_that_comes_before_the_send_is_booked_is_told_afterwards(
    world: World, client: Client, booking: Any, ending: str
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    message_id = derive(row.enrollment_id, row.step_id)

    answer = await report(client, "message.delivered", message_id=message_id)
    early = await world.go("resolver")
    await world.book(booking(row, ending))
    await world.said()
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set look_at = clock_timestamp()")
    said = await world.go("resolver")

    assert answer == (200, {"known": 0})
    assert early == []
    assert [one.type for one in said] == ["MessageReported", *["MessageResolved"] * (ending == "unknown")]
    assert await world.rows("early_report") == 0
    assert await world.outcomes() == [("hello", "sent")]


async def test_a_report_comes_before_the_policy_even_where_both_are_due(
    world: World, client: Client, booking: Any
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    await report(client, "message.bounced", message_id=derive(row.enrollment_id, row.step_id))
    await world.book(booking(row, "unknown", retry_after=timedelta(0)))
    await world.said()

    await world.go("resolver")

    assert await world.outcomes() == [("hello", "failed")]


async def test_a_report_of_a_message_that_never_comes_is_looked_at_ever_more_seldom_and_then_forgotten(
    world: World, client: Client
) -> None:
    await report(client, "message.delivered", message_id=NOBODY)
    await report(client, "message.delivered", post_id="again", message_id=NOBODY)
    kept = await world.rows("early_report")
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set heard_at = heard_at - interval '1 hour', look_at = heard_at")
        await world.resolver.go_round()
        later = await conn.fetchval("select look_at - clock_timestamp() from early_report")
        await conn.execute("update early_report set heard_at = clock_timestamp() - interval '25 hours'")
    await world.upkeep.go_round()

    assert kept == 1
    assert timedelta(minutes=4) < later < timedelta(minutes=6)
    assert await world.rows("early_report") == 0


# -- replies and opt-outs


async def test_a_reply_that_quotes_a_message_is_its_contacts(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent, provider_message_id=opaque("wamid.Q"))
    message = {"id": "wamid.R", "from": "49170999", "type": "text", "context": {"id": "wamid.Q"}}

    statuses = [await whatsapp(client, messages=[message]) for _ in range(2)]

    first, again = await world.said()
    assert statuses == [200, 200]
    assert (first.type, first.topic, first.key) == ("ContactReplied", "contacts.activity", "c")
    assert (first.data["channel"], first.data["message_id"]) == ("whatsapp", message_id)
    assert first.envelope["id"] == again.envelope["id"]
    assert b"49170999" not in first.value


async def test_a_reply_that_quotes_nothing_is_everybodys_with_that_number(world: World, client: Client) -> None:
    for contact_id, number in {"a": "+49 170 1234567", "b": "491701234567", "c": "4917012345678", "d": "x"}.items():
        await world.contacts(contact_id, addresses={"whatsapp": number})
    await world.contacts("e")
    await world.contacts("gone", addresses={"whatsapp": "491701234567"})
    await world.hear(("contacts.events", "gone", None))
    message = {"id": "wamid.R", "from": "491701234567", "type": "button"}

    await whatsapp(client, messages=[message, {**message, "from": "15550001"}])

    assert [(one.type, one.key) for one in await world.said()] == [("ContactReplied", "b"), ("ContactReplied", "a")]


async def test_who_stops_marketing_in_whatsapp_has_opted_out_of_that_channel(world: World, client: Client) -> None:
    await world.contacts("a", addresses={"whatsapp": "+491701234567"})

    await whatsapp(
        client, user_preferences=[{"wa_id": "491701234567", "category": "marketing_messages", "value": "stop"}]
    )

    (told,) = await world.said()
    assert (told.type, told.key, told.data["channel"]) == ("ContactOptedOut", "a", "whatsapp")


async def test_replies_and_opt_outs_in_our_words_are_announced(world: World, client: Client) -> None:
    await report(client, "contact.replied", contact_id="c", channel="sms", message_id="m-1")
    await report(client, "contact.opted_out", contact_id="c", channel="email", reason="asked on the phone")
    await report(client, "contact.opted_out", post_id="post-2", contact_id="d")

    replied, one, every = await world.said()
    assert (replied.type, replied.data["channel"], replied.data["message_id"]) == ("ContactReplied", "sms", "m-1")
    assert (one.type, one.data["channel"], one.data["reason"]) == ("ContactOptedOut", "email", "asked on the phone")
    assert (every.type, every.key, every.data.get("channel")) == ("ContactOptedOut", "d", None)


async def test_nothing_happens_later_than_now(world: World, client: Client) -> None:
    data = {"contact_id": "c", "channel": "x"}
    body = orjson.dumps({"type": "contact.replied", "timestamp": "2999-01-01T00:00:00Z", "data": data})

    await client.post("/reports", data=body, headers=signed(body))

    (told,) = await world.said()
    assert told.data["occurred_at"] == told.envelope["time"]


# -- what is refused


async def test_what_is_not_signed_or_not_of_now_is_refused_and_says_why(world: World, client: Client) -> None:
    body = orjson.dumps({"type": "contact.opted_out", "data": {"contact_id": "c"}})
    good = signed(body)
    tries = {
        "the headers webhook-id, webhook-timestamp and webhook-signature are needed": [
            {},
            {**good, "webhook-id": ""},
            {**good, "webhook-timestamp": "soon"},
        ],
        "the signature does not fit": [
            signed(body, key=b"another key"),
            {**good, "webhook-id": "another"},
            {**good, "webhook-signature": ""},
            {**good, "webhook-signature": "v1,\udcff"},
            {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        ],
        "webhook-timestamp is more than 300 seconds from now": [signed(body, age=301), signed(body, age=-310)],
    }

    for path in ("/reports", "/bounces"):
        for detail, headers in tries.items():
            for one in headers:
                answer = await client.post(path, data=body, headers=one)
                assert (answer.status, await answer.json()) == (401, {"detail": detail}), (path, one)
    assert await world.said() == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"not json", "the body is no JSON"),
        (b"[]", "type must be one of"),
        (b'{"type": "message.eaten", "data": {}}', "type must be one of"),
        (b'{"type": ["message.read"], "data": {}}', "type must be one of"),
        (b'{"type": "message.read"}', "the report is not valid"),
        (b'{"type": "message.read", "data": {"message_id": "secret value"}}', "the report is not valid"),
        (b'{"type": "contact.replied", "data": {"contact_id": "c"}}', "the report is not valid"),
    ],
)
async def test_signed_nonsense_is_refused_by_place_and_rule_never_with_a_value(
    world: World, client: Client, body: bytes, detail: str
) -> None:
    answer = await client.post("/reports", data=body, headers=signed(body))

    text = await answer.text()
    assert answer.status == 400
    assert detail in text
    assert "secret" not in text
    assert await world.said() == []


async def test_signed_mail_that_is_no_notification_is_taken_so_that_nobody_sends_it_again(
    world: World, client: Client
) -> None:
    for body in (b"", b"Subject: Holiday\n\nBack on Monday.\n", bytes(range(256)) * 40):
        answer = await client.post("/bounces", data=body, headers=signed(body))
        assert (answer.status, await answer.json()) == (200, {"known": 0})

    assert await world.said() == []


@pytest.mark.parametrize(("path", "size"), [("/reports", 64 * 1024 + 1), ("/bounces", 1024 * 1024 + 1)])
async def test_what_is_too_large_is_refused(client: Client, path: str, size: int) -> None:
    body = b"x" * size

    answer = await client.post(path, data=body, headers=signed(body))

    assert answer.status == 413


async def test_without_secrets_nothing_is_taken(world: World, sent: Any) -> None:
    message_id = await sent_message(world, sent)
    receiver = Receiver(
        world.pipeline, host="x", port=0, secrets=ReceiverSecrets(), health=Health(registry=CollectorRegistry())
    )
    async with TestClient(TestServer(receiver.application())) as bare:
        statuses = [
            (await report(bare, "message.delivered", message_id=message_id))[0],
            (await bounce(bare, message_id))[0],
            await whatsapp(bare, statuses=[]),
            (await bare.post(f"/unsubscribe/{token_of(message_id, 'c', key=b'')}")).status,
        ]

    assert statuses == [401, 401, 401, 404]
    assert await world.said() == []


# -- one click


def link(contact_id: str = "c", message_id: str = NOBODY) -> str:
    return f"/unsubscribe/{token_of(message_id, contact_id, key=UNSUBSCRIBE_KEY.encode())}"


async def test_one_click_opts_out_of_every_channel(world: World, client: Client) -> None:
    answer = await client.post(link(), data={"List-Unsubscribe": "One-Click"})

    (told,) = await world.said()
    assert answer.status == 200
    assert "You are unsubscribed" in await answer.text()
    assert (told.type, told.topic, told.key) == ("ContactOptedOut", "contacts.activity", "c")
    assert told.data["reason"] == "unsubscribed"
    assert "channel" not in told.data


async def test_clicking_again_says_the_same_again(world: World, client: Client) -> None:
    statuses = [(await client.post(link())).status for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert len({one.envelope["id"] for one in await world.said()}) == 1


async def test_opening_the_link_changes_nothing_and_shows_one_button(world: World, client: Client) -> None:
    answer = await client.get(link())
    head = await client.head(link())
    options = await client.options(link())

    page = await answer.text()
    assert (answer.status, head.status, options.status) == (200, 200, 204)
    assert answer.content_type == "text/html"
    assert page.count("<button") == page.count('method="post"') == 1
    assert '<html lang="en">' in page
    assert not any(what in page for what in ("<script", "http:", "https:", "src=", "@import", "url("))
    assert (answer.headers["X-Robots-Tag"], answer.headers["Cache-Control"]) == ("noindex, nofollow", "no-store")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert options.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert await head.text() == ""
    assert await world.said() == []


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_link_that_is_none_is_not_found_and_says_so_to_people(
    world: World, client: Client, method: str
) -> None:
    for path in (link()[:-1], link() + "A", "/unsubscribe/guess", "/unsubscribe/%00%ff"):
        answer = await getattr(client, method)(path)
        assert answer.status == 404
        assert "This link does not work" in await answer.text()

    assert await world.said() == []


async def test_while_the_database_is_away_everybody_is_asked_to_come_again(world: World, client: Client) -> None:
    body = orjson.dumps({"type": "contact.opted_out", "data": {"contact_id": "c"}})
    await world.pool.close()

    opt_out = await client.post(link())
    told = await client.post("/reports", data=body, headers=signed(body))

    assert (opt_out.status, told.status) == (503, 503)
    assert opt_out.headers["Retry-After"] == told.headers["Retry-After"] == "5"
    assert "try again" in await opt_out.text()
