"""A process is alive while its loops come round, and ready while it has what it needs."""

import aiohttp
import pytest
from chassis import clock
from chassis.health import Health
from prometheus_client import CollectorRegistry


class Hands:
    """A clock whose hands are moved by the test."""

    now = 50.0


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "monotonic", lambda: hands.now)
    return hands


@pytest.fixture
def health() -> Health:
    return Health(registry=CollectorRegistry())


def test_a_loop_that_comes_round_in_time_is_alive(health: Health, hands: Hands) -> None:
    health.beat("relay", 5.0)
    hands.now += 4.9
    health.beat("relay", 5.0)
    hands.now += 4.9

    assert health.stalled() == []


def test_a_loop_that_does_not_is_named(health: Health, hands: Hands) -> None:
    health.beat("relay", 5.0)
    health.beat("consume", 60.0)
    hands.now += 5.1

    assert health.stalled() == ["relay"]


def test_a_loop_that_comes_round_again_is_alive_again(health: Health, hands: Hands) -> None:
    health.beat("relay", 5.0)
    hands.now += 60.0
    health.beat("relay", 5.0)

    assert health.stalled() == []


def test_a_loop_that_has_ended_is_not_missed(health: Health, hands: Hands) -> None:
    health.beat("replan", 5.0)
    health.forget("replan")
    hands.now += 60.0

    assert health.stalled() == []


async def test_the_server_tells_life_readiness_and_numbers(health: Health, hands: Hands) -> None:
    health.beat("relay", 5.0)
    health.ready("assignment", False)
    async with health.serve("127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as browser:
        alive = (await browser.get("/livez")).status
        not_ready = await browser.get("/readyz")
        not_ready_text = await not_ready.text()
        health.ready("assignment", True)
        ready = (await browser.get("/readyz")).status
        hands.now += 7.0
        dead = await browser.get("/livez")
        dead_text = await dead.text()
        numbers = await (await browser.get("/metrics")).text()

    assert (alive, not_ready.status, ready, dead.status) == (200, 503, 200, 503)
    assert "assignment" in not_ready_text
    assert "relay" in dead_text
    assert 'sluice_loop_seconds_since_beat{loop="relay"} 7.0' in numbers


async def test_the_server_is_gone_after_its_block_and_may_start_again(health: Health) -> None:
    async with health.serve("127.0.0.1", 0) as port:
        pass

    async with aiohttp.ClientSession() as browser:
        with pytest.raises(aiohttp.ClientConnectionError):
            await browser.get(f"http://127.0.0.1:{port}/livez")
    async with health.serve("127.0.0.1", port) as again:
        assert again == port
