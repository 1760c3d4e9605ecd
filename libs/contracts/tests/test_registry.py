"""The registry and the topics agree."""

from sluice_contracts import topics
from sluice_contracts.answers import CommandAccepted, CommandRejected
from sluice_contracts.base import Answer, Command
from sluice_contracts.registry import ALL, BY_TYPE, on_topic


def test_every_message_is_known_by_a_type_of_its_own() -> None:
    assert len(BY_TYPE) == len(ALL) == 47
    for message in ALL:
        assert f"{message.__name__}.v1" == message.TYPE


def test_every_message_is_on_a_topic_that_exists_but_answers_which_are_on_three() -> None:
    for message in ALL:
        assert issubclass(message, Answer) or message.TOPIC in topics.ALL_TOPICS

    for topic in topics.ANSWER_TOPICS:
        assert set(on_topic(topic).values()) == {CommandAccepted, CommandRejected}


def test_every_topic_but_quarantine_carries_something() -> None:
    for topic in topics.ALL_TOPICS:
        assert bool(on_topic(topic)) is (topic not in topics.QUARANTINES)


def test_commands_and_only_commands_are_on_the_topics_that_are_answered() -> None:
    for message in ALL:
        assert issubclass(message, Command) is (message.TOPIC in topics.COMMAND_TOPICS)


def test_every_command_says_what_its_result_holds() -> None:
    for message in ALL:
        assert not issubclass(message, Command) or message.RESULT


def test_stops_and_answers_are_urgent_and_bulk_is_not() -> None:
    assert {topic for topic in topics.ALL_TOPICS if topic.endswith((".control", ".answers"))} <= topics.URGENT
    assert not topics.URGENT & {topics.ENROLLMENT_EVENTS, topics.DELIVERY_EVENTS, topics.SEQUENCES_VERSIONS}
