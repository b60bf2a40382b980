"""The error that ends a command, and the messages of the client's errors in the words of a shell."""


class CommandError(Exception):
    """The input is invalid, and the command cannot continue. The message is one line."""


_IN_A_SHELL = {"verify_first=False": "--no-verify-first", "url: pass it,": "url: pass --url,"}
"""What a message of the client calls an argument, and what the command calls it."""


def message_of(error: Exception) -> str:
    """Return the message of an error, with options instead of arguments of Python."""
    message = str(error)
    for argument, option in _IN_A_SHELL.items():
        message = message.replace(argument, option)
    return message
