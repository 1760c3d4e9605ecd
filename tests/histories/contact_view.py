"""What a service has heard of a contact; two services have heard differently."""

from dataclasses import dataclass, field
from typing import Any

from tests.pump.topics import Record


@dataclass
class ContactView:
    """Its newest record, and what it said itself."""

    version: int | None = None
    offset: int | None = None
    gone_offset: int | None = None
    opted_out: bool = False
    opted_out_kept: bool = False
    """It said so itself, or had when its record went."""
    channels: set[str] = field(default_factory=set)
    """Of which it has opted out; `*` is every one."""
    attributes: dict[str, Any] = field(default_factory=dict)

    def hear(self, record: Record) -> bool:
        """Take in a record; whether it was news."""
        if record.value is None:
            if self.gone_offset is not None and self.gone_offset >= record.offset:
                return False
            self.gone_offset = record.offset
            if self.offset is None or self.offset < record.offset:
                self.opted_out_kept |= self.opted_out
                self.version = self.offset = None
                self.opted_out = False
                self.attributes = {}
            return True
        data = record.data
        if self.version is not None and self.version >= data["state_version"]:
            return False
        if self.gone_offset is not None and self.gone_offset >= record.offset:
            return False
        self.version, self.offset, self.opted_out = data["state_version"], record.offset, data["opted_out"]
        self.attributes = data["attributes"]
        return True
