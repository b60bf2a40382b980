"""What the tests of a service run instead of Desk."""

from ._fake_desk import FakeDesk
from ._faults import Fault
from ._records import RecordedRequest, Ticket
from ._time import VirtualTimeLoop

__all__ = ["FakeDesk", "Fault", "RecordedRequest", "Ticket", "VirtualTimeLoop"]
