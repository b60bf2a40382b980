"""The files of FakeDesk, and its upload host, which is another host than Desk."""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal, cast

import httpx
from attrs import define, field

from ._responses import ErrorShape, FakeResponse, json_response, rejection, validation_error

FIRST_FILE = 501
PATH = "/uploads"
_REFERENCE = "/desk/api/v2/files/ref.json"
_FILE = re.compile(r"/desk/api/v2/files/([0-9]{1,19})\.json")
_BOUNDARY = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z]+)")
_NAME = re.compile(rb'form-data; name="([^"]*)"')


@define
class UploadedFile:
    """A file of FakeDesk.

    Attributes:
        id: The file's id.
        filename: The file's name. The repr does not show it, because it may hold personal data.
        mime_type: The file's media type.
        state: `temp` until the upload is confirmed, then `active`.
        content: The bytes; None until the upload host has received them.
        params: The fields that the form must have.
    """

    id: int
    filename: str = field(repr=False)
    mime_type: str
    state: Literal["temp", "active"] = "temp"
    content: bytes | None = field(default=None, repr=False)
    params: dict[str, str] = field(factory=dict[str, str], repr=False)


def is_upload(path: str) -> bool:
    """Return whether a path is on the upload host."""
    return path == PATH


class Uploads:
    """The files, and the rules for their upload.

    Attributes:
        files: The files by their ids.
    """

    def __init__(self) -> None:
        self.files: dict[int, UploadedFile] = {}
        self._ids = count(FIRST_FILE)
        self._origin = "https://uploads.example.net"

    @contextmanager
    def at(self, origin: str) -> Generator[None]:
        """Have the upload host at another origin, while it is served there."""
        before, self._origin = self._origin, origin
        try:
            yield
        finally:
            self._origin = before

    def carry_out(self, method: str, path: str, body: Any, shape: ErrorShape) -> FakeResponse | None:
        """Return Desk's response to a request about files; None if the path is about something else."""
        match = _FILE.fullmatch(path)
        if path != _REFERENCE and match is None:
            return None
        allowed = "PATCH" if match else "POST"
        if method != allowed:
            return rejection(405, f"the method must be {allowed}", Allow=allowed)
        return self._confirm(int(match[1]), shape) if match else self._announce(body, shape)

    def _confirm(self, file_id: int, shape: ErrorShape) -> FakeResponse:
        file = self.files.get(file_id)
        if file is None:
            return rejection(404, "the file is unknown")
        if file.content is None:
            return validation_error([("file", "must be uploaded")], shape)
        file.state = "active"
        return json_response(200, {"file": _as_json(file)})

    def _announce(self, body: Any, shape: ErrorShape) -> FakeResponse:
        problems = list(_problems_of_announcement(body))
        if problems:
            return validation_error(problems, shape)
        file = UploadedFile(next(self._ids), body["filename"], body["mimeType"])
        self.files[file.id] = file
        file.params = {
            "Content-Type": file.mime_type,
            "bucket": "fake-desk",
            "key": f"{secrets.token_hex(8)}/{file.id}",
            "policy": secrets.token_urlsafe(48),
            "success_action_status": "201",
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": "fake-desk/s3/aws4_request",
            "x-amz-date": "20240101T000000Z",
            "x-amz-signature": secrets.token_hex(32),
        }
        url = f"{self._origin}{PATH}?signature={secrets.token_hex(16)}"
        return json_response(200, {"url": url, "params": file.params, "file": _as_json(file)})

    def receive(self, method: str, headers: httpx.Headers, body: bytes) -> FakeResponse:
        """Return the upload host's response to a form. It quotes the form, as a storage host does."""
        problem, fields = _fields_of(headers, body)
        key = dict(fields).get("key", b"").decode("latin-1")
        file = next((file for file in self.files.values() if file.params.get("key") == key), None)
        if method != "POST":
            problem = "the method must be POST"
        elif headers.get("host") != httpx.URL(self._origin).netloc.decode("ascii"):
            problem = "this host knows no uploads"
        elif "authorization" in headers or "cookie" in headers:
            problem = "only the signature may authorize the upload"
        elif not problem and file is None:
            problem = "the key is unknown"
        if file is not None and not problem:
            expected = [(name, value.encode()) for name, value in file.params.items()]
            if fields[:-1] != expected or fields[-1][0] != "file":
                problem = "the form must have the signed fields unchanged and in order, and the file last"
            else:
                file.content = fields[-1][1]
        code, status = ("AccessDenied", 403) if problem else ("Created", 201)
        text = f"<Response><Code>{code}</Code><Message>{problem}</Message><Key>{key}</Key></Response>"
        return FakeResponse(status, httpx.Headers({"Content-Type": "application/xml"}), text.encode())

    def problems_of(self, body: Any) -> list[tuple[str, str]]:
        """Return the problems with the files of a convert request, which is valid otherwise.

        FakeDesk accepts any id of another object, and so also of a file that it does not know. But a file that it has
        announced must have been uploaded and confirmed.
        """
        listed: list[dict[str, Any]] = body.get("files") or []
        files = [self.files.get(each["id"]) for each in listed]
        return [
            (f"files[{index}].id", "must be an uploaded file")
            for index, file in enumerate(files)
            if file is not None and file.state != "active"
        ]


def _as_json(file: UploadedFile) -> dict[str, Any]:
    return {"id": file.id, "filename": file.filename, "mimeType": file.mime_type, "state": file.state}


def _problems_of_announcement(body: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(body, dict):
        yield "body", "must be a JSON object"
        return
    fields = cast("dict[str, Any]", body)
    for name in ("filename", "mimeType"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            yield name, "must be set"
    for name, choices in {"type": ("attachment",), "disposition": ("attachment", "attachment-inline")}.items():
        if fields.get(name) not in choices:
            yield name, f"must be one of ‘{', '.join(choices)}’"


def _fields_of(headers: httpx.Headers, body: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the problem with a form, and its fields in their order."""
    boundary = _BOUNDARY.fullmatch(headers.get("content-type", ""))
    if boundary is None:
        return "the content type must be multipart/form-data", []
    if headers.get("content-length") != str(len(body)):
        return "the length must be known", []
    delimiter = b"\r\n--" + boundary[1].encode()
    first, *parts = (b"\r\n" + body).split(delimiter)
    if first or not parts or parts.pop() != b"--\r\n":
        return "the form is not complete", []
    fields: list[tuple[str, bytes]] = []
    for part in parts:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        fields.append((name[1].decode("latin-1") if name else "", value))
    return "", fields
