"""The models of requests and responses."""

from ..types import complete_init as _complete_init
from .book import Book
from .branches import Branches
from .calendar import Calendar
from .days import Days
from .either import Either
from .grid import Grid
from .included import Included
from .kinds import Kinds
from .list_ import List
from .many import Many
from .moments import Moments
from .moods import Moods
from .names import Names
from .nested import Nested
from .novel import Novel
from .order import Order
from .owner import Owner
from .owners_by_id import OwnersById
from .shelf import Shelf
from .shelves_by_word import ShelvesByWord
from .thing import Thing
from .ticket import Ticket
from .tree import Tree

__all__ = (
    "Book",
    "Branches",
    "Calendar",
    "Days",
    "Either",
    "Grid",
    "Included",
    "Kinds",
    "List",
    "Many",
    "Moments",
    "Moods",
    "Names",
    "Nested",
    "Novel",
    "Order",
    "Owner",
    "OwnersById",
    "Shelf",
    "ShelvesByWord",
    "Thing",
    "Ticket",
    "Tree",
)

_complete_init([globals()[name] for name in __all__])
