"""What each service reads, as it says itself."""

from typing import Final

from console import routes as console
from delivery import routes as delivery
from enrollment import routes as enrollment
from messaging.routes import TopicRoutes
from pydantic import SecretStr
from sequences import routes as sequences
from sequences.settings import SequencesSettings

_SETTINGS: Final = SequencesSettings(
    database_url=SecretStr("postgresql://unused@127.0.0.1/unused"), kafka_bootstrap_servers=["127.0.0.1:1"]
)
TOPICS_OF: Final[dict[str, dict[str, TopicRoutes]]] = {
    routes.service: routes.topics
    for routes in (sequences.build(_SETTINGS), enrollment.build(), delivery.routes(), console.build())
}
"""The routing tables by service and topic."""
