"""The sink, spoken to over real sockets."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest
from devstack.sink import Sink, SinkSettings
from devstack.sink.server import running

PHONE = "/1057/messages"
BEARER = {"Authorization": "Bearer t"}


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    async with running(SinkSettings(file=tmp_path / "arrivals.jsonl", keep_bodies=True)) as sink:
        yield sink


@pytest.fixture
async def http(sink: Sink) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sink.url) as session:
        yield session


def lines(sink: Sink) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.book.path.read_text().splitlines()]


async def behave(http: aiohttp.ClientSession, **rule: Any) -> None:
    async with http.post("/_sink/behaviour", json=rule) as answer:
        assert answer.status == 200, await answer.text()


async def hook(http: aiohttp.ClientSession, key: str | None = "m1", name: str = "crm") -> int:
    headers = {"webhook-id": key} if key else {}
    async with http.post(f"/webhook/{name}", json={"a": 1}, headers=headers) as answer:
        return answer.status


def whatsapp_call(key: str = "m1", to: str = "4915112345") -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "to": to,
        "type": "template",
        "template": {"name": "welcome_1", "language": {"code": "en"}},
        "biz_opaque_callback_data": key,
    }


def mail(to: str = "ada@example.org", key: str = "m1") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@example.org", to, "Grüße"
    message["Message-ID"] = f"<{key}@example.org>"
    message.set_content("Hello\n.\nbye")
    return message


async def test_an_arrival_is_in_the_file_before_it_is_answered(sink: Sink, http: aiohttp.ClientSession) -> None:
    assert await hook(http) == 200

    (line,) = lines(sink)
    assert (line["channel"], line["message_id"], line["to"], line["outcome"]) == ("webhook", "m1", "crm", "accepted")
    assert (line["size"], line["body"], line["duplicate"]) == (8, '{"a": 1}', False)
    assert line["at"].endswith("Z")
    assert len(line["at"]) == 27
    assert line["at_ns"] % 1_000 == 0


async def test_a_key_that_was_seen_is_answered_again_and_noted_as_a_duplicate(
    sink: Sink, http: aiohttp.ClientSession
) -> None:
    await hook(http)
    again = await hook(http)

    assert again == 200
    assert [(line["outcome"], line["duplicate"]) for line in lines(sink)] == [("accepted", False), ("repeated", True)]
    assert sink.book.counts()["unique"] == 1


async def test_keys_are_known_after_a_restart_and_a_line_cut_off_by_a_crash_is_removed(tmp_path: Path) -> None:
    settings = SinkSettings(file=tmp_path / "arrivals.jsonl")
    async with running(settings) as sink, aiohttp.ClientSession(sink.url) as http:
        await hook(http)
    with settings.file.open("ab") as file:
        file.write(b'{"at": "2026-')

    async with running(settings) as sink, aiohttp.ClientSession(sink.url) as http:
        await hook(http)
        await hook(http, "m2")

        assert [line["outcome"] for line in lines(sink)] == ["accepted", "repeated", "accepted"]
        assert sink.book.counts()["arrivals"] == 3


async def test_arrivals_are_told_from_a_time_on(sink: Sink, http: aiohttp.ClientSession) -> None:
    for number in range(1_200):
        await hook(http, f"m{number}")
    since = lines(sink)[1_000]["at_ns"]

    async with http.get("/_sink/arrivals", params={"since_ns": since, "limit": 5}) as answer:
        told = (await answer.json())["arrivals"]

    later = [line for line in lines(sink) if line["at_ns"] > since]
    assert told == later[:5]


async def test_an_error_of_whatsapp_has_the_shape_of_the_real_one(sink: Sink, http: aiohttp.ClientSession) -> None:
    await behave(http, channel="whatsapp", mode="refuse", code=131047)

    async with http.post(PHONE, json=whatsapp_call(), headers=BEARER) as answer:
        error = (await answer.json())["error"]

    assert answer.status == 400
    assert error["code"] == 131047
    assert {"message", "type", "error_data", "fbtrace_id"} <= set(error)
    assert (lines(sink)[0]["outcome"], lines(sink)[0]["code"]) == ("refused", 131047)


async def test_whatsapp_delivers_twice_what_is_sent_twice(sink: Sink, http: aiohttp.ClientSession) -> None:
    ids = []
    for _ in range(2):
        async with http.post("/v23.0" + PHONE, json=whatsapp_call(), headers=BEARER) as answer:
            ids.append((await answer.json())["messages"][0]["id"])

    assert ids[0] != ids[1]
    assert all(told.startswith("wamid.") for told in ids)
    assert [(line["outcome"], line["duplicate"]) for line in lines(sink)] == [("accepted", False), ("accepted", True)]


async def test_whatsapp_wants_a_token_and_a_template(sink: Sink, http: aiohttp.ClientSession) -> None:
    async with http.post(PHONE, json=whatsapp_call()) as without_token:
        pass
    async with http.post(PHONE, data=b"[", headers=BEARER) as without_sense:
        pass

    assert (without_token.status, without_sense.status) == (401, 400)
    assert [line["outcome"] for line in lines(sink)] == ["invalid", "invalid"]


async def test_it_fails_as_told_as_often_as_told_and_for_whom_it_was_told(
    sink: Sink, http: aiohttp.ClientSession
) -> None:
    await behave(http, channel="webhook", mode="status", status=429, retry_after=7, count=1, match="slow")

    async with http.post("/webhook/slow-crm", headers={"webhook-id": "m1"}) as limited:
        pass
    others = [await hook(http, "m2"), await hook(http, "m1", name="slow-crm")]

    assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
    assert others == [200, 200]
    assert [line["duplicate"] for line in lines(sink)] == [False, False, False]


@pytest.mark.parametrize(
    ("mode", "outcome", "accepted"), [("reset", "reset", False), ("accept_and_drop_answer", "answer_dropped", True)]
)
async def test_it_cuts_the_connection_as_told(
    sink: Sink, http: aiohttp.ClientSession, mode: str, outcome: str, accepted: bool
) -> None:
    await behave(http, channel="webhook", mode=mode, count=1)

    with pytest.raises(aiohttp.ClientError):
        await hook(http)
    await hook(http)

    assert (lines(sink)[0]["outcome"], lines(sink)[0]["accepted"]) == (outcome, accepted)
    assert lines(sink)[1]["duplicate"] == accepted


async def test_it_hangs_as_told_and_stops_all_the_same(tmp_path: Path) -> None:
    async with running(SinkSettings(file=tmp_path / "a.jsonl")) as sink, aiohttp.ClientSession(sink.url) as http:
        await behave(http, channel="webhook", mode="hang")
        waiting = asyncio.create_task(hook(http))
        for _ in range(1_000):
            if sink.book.counts()["arrivals"]:
                break
            await asyncio.sleep(0.01)

        assert sink.book.counts()["outcomes"] == {"hung": 1}
        assert not waiting.done()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def test_what_is_no_behaviour_is_refused_with_a_reason(http: aiohttp.ClientSession) -> None:
    async with http.post("/_sink/behaviour", json={"channel": "fax", "mode": "ok"}) as answer:
        told = await answer.json()

    assert (answer.status, told["error"]) == (400, "channel: one of webhook, smtp, whatsapp")


async def test_behaviours_can_be_read_and_lifted(http: aiohttp.ClientSession) -> None:
    await behave(http, channel="webhook", mode="refuse")
    async with http.get("/_sink/behaviour") as answer:
        (rule,) = (await answer.json())["behaviours"]
    async with http.delete("/_sink/behaviour"):
        pass

    assert rule["mode"] == "refuse"
    assert await hook(http) == 200


async def test_mail_arrives_with_its_key_its_recipient_and_its_subject(sink: Sink) -> None:
    await aiosmtplib.send(mail(), hostname="127.0.0.1", port=sink.smtp_port)

    (line,) = lines(sink)
    assert (line["channel"], line["message_id"], line["to"]) == ("smtp", "m1", "ada@example.org")
    assert (line["subject"], line["outcome"]) == ("Grüße", "accepted")
    assert "\r\n.\r\nbye" in line["body"]
    assert line["begun_at"] is not None
    assert line["begun_at"] <= line["at"], "its dialogue began before it had come"


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_mail_is_refused_at_the_stage_that_was_told(sink: Sink, http: aiohttp.ClientSession, stage: str) -> None:
    await behave(http, channel="smtp", mode="refuse", stage=stage, status=550)

    with pytest.raises((aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)):
        await aiosmtplib.send(mail(), hostname="127.0.0.1", port=sink.smtp_port)

    assert [line["outcome"] for line in lines(sink)] == ["refused"]


async def test_mail_is_taken_and_the_answer_dropped_as_told(sink: Sink, http: aiohttp.ClientSession) -> None:
    await behave(http, channel="smtp", mode="accept_and_drop_answer")

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await aiosmtplib.send(mail(), hostname="127.0.0.1", port=sink.smtp_port)

    assert [(line["outcome"], line["accepted"]) for line in lines(sink)] == [("answer_dropped", True)]


async def test_the_process_says_where_it_listens_and_stops_when_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "devstack.sink", "--file", str(tmp_path / "a.jsonl")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SLUICE_SINK_HTTP_PORT": "0"},
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession(f"http://127.0.0.1:{told['http_port']}") as http:
        async with http.get("/readyz") as ready:
            pass
        await hook(http)
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)

    assert (ready.status, code) == (200, 0)
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1


async def test_a_taken_port_is_one_sentence(sink: Sink, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "devstack.sink", "--file", str(tmp_path / "b.jsonl"), "--http-port", str(sink.http_port)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().startswith("The sink cannot start:")
    assert len(errors.decode().splitlines()) == 1


async def test_what_cannot_be_written_is_not_answered_and_ends_it_in_one_sentence(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "devstack.sink", "--file", str(tmp_path / "a.jsonl")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession(f"http://127.0.0.1:{told['http_port']}") as http:
        with pytest.raises(aiohttp.ClientError):
            await hook(http)
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().splitlines()[-1].startswith("The sink cannot write")
