"""The error that ends a command."""


class CommandError(Exception):
    """The input is invalid, and the command cannot continue. The message is one line."""
