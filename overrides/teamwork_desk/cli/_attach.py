"""Attachments: the files of a job, or of `convert --attach`.

A file is uploaded only after a lookup has shown that the conversation has no ticket, so that nothing is uploaded for a
job that is done. An upload is kept by the fingerprint of its file, so that the next run can use it.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from teamwork_desk import AsyncDesk, ConvertedConversation, DeskError, RequestError, StatusError
from teamwork_desk._arguments import check_arguments
from teamwork_desk._checks import LARGEST_FILE, is_file_name, open_file
from teamwork_desk._lookup import look_up
from teamwork_desk.backlog import ConvertedFields

from ._console import is_a_terminal

ATTACH = "attach"
"""The name of the column, and of the key of a job. `convert` has no such argument: it takes the ids of files."""


def check_files(folder: Path, paths: object) -> tuple[Path, ...]:
    """Return the files of a job.

    Args:
        folder: The folder to which the paths are relative.
        paths: The paths, as they were read; None for no files.

    Raises:
        ValueError: They are not a list of paths, or a file cannot be read, or is too large. The message does not show
            the path, because the name of a file may be personal data.
    """
    if paths is None:
        return ()
    if not isinstance(paths, list):
        raise ValueError(f"{ATTACH}: expected a list of paths")  # noqa: TRY004 - every problem of a line is a ValueError
    return tuple(_check_file(folder, number, path) for number, path in enumerate(cast("list[object]", paths), 1))


def _check_file(folder: Path, number: int, path: object) -> Path:
    if not isinstance(path, str) or not path:
        raise ValueError(f"{ATTACH}: expected a list of paths")
    try:
        found = (folder / path).stat()
    except (OSError, ValueError) as error:
        problem = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({type(error).__name__})"
        )
        raise ValueError(f"{ATTACH}: file {number} {problem}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{ATTACH}: file {number} is not a regular file")
    if not is_file_name(Path(path).name):
        raise ValueError(f"{ATTACH}: file {number} has a name that is not valid text, or has a backslash")
    if found.st_size > LARGEST_FILE:
        raise ValueError(f"{ATTACH}: file {number} is larger than {LARGEST_FILE} bytes (20 MB)")
    return folder / path


async def attach(
    desk: AsyncDesk,
    conversation_id: int,
    paths: Sequence[Path],
    arguments: dict[str, Any],
    *,
    known: Mapping[str, int],
    keep: Callable[[str, int], None],
) -> ConvertedConversation | None:
    """Upload the files of a conversation, and add them to the arguments of `convert`.

    The other arguments are checked first, so that nothing is sent for a job that `convert` would reject.

    Args:
        desk: The client.
        conversation_id: The conversation.
        paths: The files.
        arguments: The arguments. Unless `verify_first` is False, the conversation is looked up before the uploads.
        known: The ids of files that are uploaded already, by their fingerprints.
        keep: Called with the fingerprint and the id of each file that is attached, uploaded now or earlier.

    Returns:
        The conversation if it has a ticket already, so that nothing was uploaded; None otherwise.

    Raises:
        DeskError: An argument is invalid, or the lookup or an upload failed.
    """
    check_arguments(conversation_id, arguments, ConvertedFields)
    if arguments.get("verify_first") is not False:
        # Be as strict about its ticket as `convert` is, or a conversation could pass for converted.
        async for _, found in look_up(desk.send, [conversation_id]):
            if isinstance(found, DeskError):
                raise found
            if found.ticket_id:
                return ConvertedConversation(id=conversation_id, ticket_id=found.ticket_id, created=False)
    known, attached = {**known}, [*cast("Sequence[Any]", arguments.get("files") or ())]
    for number, path in enumerate(paths, 1):
        fingerprint = await anyio.to_thread.run_sync(fingerprint_of, path, abandon_on_cancel=True)
        if fingerprint is None:
            raise RequestError(f"{ATTACH}: file {number} cannot be read any more")
        file_id = known.get(fingerprint)
        if file_id is None:
            file_id = (await desk.files.upload(path)).id
            assert file_id is not None, "an uploaded file has an id"  # noqa: S101
            known[fingerprint] = file_id
        keep(fingerprint, file_id)
        if file_id not in attached:
            attached.append(file_id)
    arguments["files"] = attached
    return None


async def convert_with_files(
    desk: AsyncDesk, conversation_id: int, paths: Sequence[Path], arguments: dict[str, Any]
) -> ConvertedConversation:
    """Convert one conversation with files. If that fails or is interrupted, print the ids of the uploaded files.

    Raises:
        DeskError: The conversion or an upload failed.
    """
    uploaded: dict[str, int] = {}
    try:
        found = None
        if paths:
            found = await attach(desk, conversation_id, paths, arguments, known=uploaded, keep=uploaded.__setitem__)
        return found or await desk.conversations.convert(conversation_id, **arguments)
    except BaseException:  # Ctrl-C cancels the task.
        if uploaded:
            options = " ".join(f"--file {file_id}" for file_id in uploaded.values())
            typer.echo(f"uploaded: use {options} instead of --attach to attach the same files again", err=True)
        raise


def may_be_about_files(error: Exception) -> bool:
    """Return whether Desk may have rejected a conversion because of its files, so that they must be uploaded again.

    Reasons that name fields say what they are about. Other responses do not, and a file that is uploaded twice does no
    harm.
    """
    if not isinstance(error, StatusError) or not error.from_desk or error.status_code not in (400, 403, 404, 409, 422):
        return False
    fields = [field.lower() for field in error.errors]
    return not all(fields) or not fields or any("file" in field or "attach" in field for field in fields)


def fingerprint_of(path: Path) -> str | None:
    """Return a hash of the name and the content of a file, which is different for every file.

    Size and time would not be enough, because two files from one archive may have both in common.
    """
    hashed = hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + b"\0")
    try:
        with open_file(path) as file:
            while piece := file.read(1024 * 1024):
                hashed.update(piece)
    except OSError:
        return None
    return hashed.hexdigest()


@contextmanager
def upload_progress(console: Console, *, is_used: bool) -> Generator[list[Callable[[httpx.Request], Any]]]:
    """Show the progress of uploads on a terminal.

    Yields:
        Event hooks for requests: one counts the bytes that a form sends.
    """
    if not (is_used and console.is_interactive):
        yield []
        return
    columns = TextColumn("upload"), BarColumn(), DownloadColumn()
    # A file or a pipe must not pass through rich.
    with Progress(*columns, console=console, transient=True, redirect_stdout=is_a_terminal("stdout")) as progress:

        async def count(request: httpx.Request) -> None:
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                task = progress.add_task("", total=int(request.headers["content-length"]))
                request.stream = _Counted(cast("httpx.AsyncByteStream", request.stream), progress, task)

        yield [count]


class _Counted(httpx.AsyncByteStream):
    """The body of a request, whose bytes are counted while they are sent."""

    def __init__(self, stream: httpx.AsyncByteStream, progress: Progress, task: TaskID) -> None:
        self._stream = stream
        self._progress = progress
        self._task = task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece
            self._progress.advance(self._task, len(piece))
