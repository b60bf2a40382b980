"""A fake Teamwork Desk and virtual time, for the tests of a service that uses this package."""

from ._fake_desk import FakeDesk
from ._faults import Fault
from ._records import RecordedRequest, Ticket
from ._time import VirtualTimeLoop
from ._uploads import UploadedFile

__all__ = ["FakeDesk", "Fault", "RecordedRequest", "Ticket", "UploadedFile", "VirtualTimeLoop"]
