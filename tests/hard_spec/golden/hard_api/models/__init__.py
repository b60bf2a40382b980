"""The models of requests and responses."""

from .book import Book
from .branches import Branches
from .grid import Grid
from .kinds import Kinds
from .list_ import List
from .names import Names
from .novel import Novel
from .owner import Owner
from .shelf import Shelf
from .thing import Thing
from .tree import Tree

__all__ = ("Book", "Branches", "Grid", "Kinds", "List", "Names", "Novel", "Owner", "Shelf", "Thing", "Tree")
