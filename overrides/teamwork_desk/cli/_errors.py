"""What stops a command."""


class CommandError(Exception):
    """Bad input, told in one line: nothing more can be done before it is corrected."""
