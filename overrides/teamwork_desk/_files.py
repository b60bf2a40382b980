"""`desk.files`: upload a file, so that a conversion can attach it."""

from __future__ import annotations

import mimetypes
import os
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import httpx

from teamwork_desk_api.api.files.confirm_file import confirm_file
from teamwork_desk_api.api.files.create_file_reference import create_file_reference
from teamwork_desk_api.models import CreateFileReference, EntityRef, FileReference
from teamwork_desk_api.types import Hook

from ._call import Call
from ._checks import is_file_name
from ._errors import DeskError, OutcomeUnknownError, RequestError, ResponseDecodeError, StatusError
from ._headers import retry_after
from ._outcome import Effect, effect_of_status, may_be_repeated
from ._session import Options, Session
from ._source import Source
from ._upload import Target, error_of_form, send_form, target_of
from ._wire import decoded_by

_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_MIME_TYPE = re.compile(rf'{_WORD}/{_WORD}(; ?{_WORD}=({_WORD}|"[ !#-\[\]-~]*"))*')


class Files:
    """Attachments."""

    def __init__(self, session: Session, options: Options) -> None:
        self._session = session
        self._options = options

    async def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
    ) -> EntityRef:
        """Upload a file, and return the reference that `convert(files=[...])` takes.

        Desk names another host for the bytes, which gets them without the token, and over https only. A file is read
        in pieces while it is sent. After a temporary failure, the whole upload starts again; a file that was uploaded
        and never attached mails nobody. The bytes do not count for Desk's rate limit.

        Args:
            path_or_bytes: The path of a file, or its content. At most 20 MB.
            filename: The file's name. The default is the name in the path; bytes need a name.
            mime_type: The file's media type. The default follows from the name.

        Raises:
            RequestError: An argument is invalid, the file is too large or cannot be read, or it has changed meanwhile.
            StatusError: Desk or the other host rejected the upload. `from_desk` is False for the other host.
            DeskError: Any other error of the error tree. `maybe_applied` is always False.
        """
        upload = Upload(self._session, self._options)
        try:
            with upload:
                source = Source(path_or_bytes)
                file = _described(filename, source.name, mime_type)
                # A cancellation keeps the frame of this method, and crash reporters print its local variables.
                del path_or_bytes, filename
                await source.measure()
                return EntityRef(id=await upload.run(source, file))
        except DeskError as error:
            if upload.step and not isinstance(error, RequestError):
                error.args = (f"upload, step {upload.step}: {error}",)
            raise


class Upload(Call):
    """The upload of one file. Nothing that it sends changes a ticket or mails anybody, so that it may be repeated.

    Attributes:
        step: Which of the three steps is under way, with its host.
    """

    def __init__(self, session: Session, options: Options) -> None:
        super().__init__(session, options, "upload")
        self.step = ""
        self._desk = urlsplit(session.origin).netloc

    @property
    def maybe_applied(self) -> bool:
        """Whether a request may have changed something that matters."""
        return False

    def succeeded(self) -> None:
        """Do nothing: the retries of an upload count until its end."""

    async def run(self, source: Source, file: CreateFileReference) -> int:
        """Upload the file, and start again after a failure that may pass.

        Args:
            source: The content.
            file: The description.

        Returns:
            The file's id.
        """
        while True:
            error = await self._try(source, file)
            if not isinstance(error, DeskError):
                super().succeeded()
                return error
            asked_for = retry_after(error.headers, time.time()) if isinstance(error, StatusError) else None
            await self.back_off(error, asked_for)

    async def _try(self, source: Source, file: CreateFileReference) -> int | DeskError:
        """Take the three steps once; return the file's id, or an error that may pass."""
        try:
            self.step = f"1 of 3 (reference from {self._desk})"
            request = create_file_reference(body=file)
            target = await self.send(
                decoded_by(request, partial(_target, request.decode, self.session.origin.startswith("http:")))
            )
            self.step = f"2 of 3 (form to {target.host})"
            error = await self._send_form(target, source, file)
            if error is not None:
                return error
            self.step = f"3 of 3 (confirmation to {self._desk})"
            await self.send(confirm_file(target.file_id))
        except (OutcomeUnknownError, ResponseDecodeError) as unknown:
            error = unknown
        else:
            return target.file_id
        if isinstance(error, OutcomeUnknownError):
            # The engine says so because it does not know that nobody minds a second file.
            error = cast("DeskError", error.__cause__)
        if not _may_pass(error):
            raise error
        return error

    async def _send_form(self, target: Target, source: Source, file: CreateFileReference) -> DeskError | None:
        """Send the form once; return an error that may pass, and raise any other."""
        began = anyio.current_time()
        exchange = await send_form(self, target, source, filename=file.filename or "", mime_type=file.mime_type or "")
        self.watch.attempted_elsewhere(target.host, exchange, began)
        error = error_of_form(target, exchange)
        if error is None:
            return None
        effect = Effect.FINAL if exchange.effect is Effect.APPLIED else exchange.effect
        may_pass = may_be_repeated(effect, error)
        # The cause may quote the URL, and the message has what it says.
        error.__cause__ = None
        if not may_pass:
            raise error
        return error


def _may_pass(error: DeskError) -> bool:
    """Return whether another attempt may succeed, after a request to Desk whose outcome is not known."""
    if isinstance(error, ResponseDecodeError):
        return isinstance(error.__cause__, httpx.TransportError)  # the connection broke within the response
    effect = effect_of_status(error.status_code) if isinstance(error, StatusError) else Effect.ENDED
    return may_be_repeated(effect, error)


def _described(filename: object, name_in_path: str | None, mime_type: object) -> CreateFileReference:
    """Return the description of a file.

    Raises:
        RequestError: An argument is invalid.
    """
    if filename is None:
        filename = name_in_path
        if filename is None:
            raise RequestError("filename: bytes need a name")
        if not is_file_name(filename):
            raise RequestError("path_or_bytes: the path does not end with a name that can be sent; pass filename=")
    if not is_file_name(filename):
        raise RequestError("filename: expected the name of a file as valid text, without a directory")
    if mime_type is None:
        mime_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    if not isinstance(mime_type, str) or not _MIME_TYPE.fullmatch(mime_type):
        raise RequestError("mime_type: expected a media type such as application/pdf")
    return CreateFileReference(type="attachment", filename=filename, mime_type=mime_type, disposition="attachment")


def _target(decode: Callable[[Any, Hook], FileReference], is_plain: bool, payload: Any, hook: Hook) -> Target:
    reference = decode(payload, hook)
    # The response has this property, or decoding it would have failed.
    return target_of(reference, payload["params"], is_plain=is_plain)
