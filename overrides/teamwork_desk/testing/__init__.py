"""What the tests of a service run instead of Desk."""

from ._fake_desk import FakeDesk, RecordedRequest, Ticket

__all__ = ["FakeDesk", "RecordedRequest", "Ticket"]
