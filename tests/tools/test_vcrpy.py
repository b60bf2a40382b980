"""vcrpy records requests, and plays them again: version 7 in the client, and later versions in httpx's transport."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from desks import OPTIONS, RecordingDesk, each_of_httpx, each_order, intercepted, use

from teamwork_desk import AsyncDesk, TransportError

vcr: Any = import_module("vcr")


def cassette(path: Path, mode: str) -> Any:
    return vcr.use_cassette(str(path), record_mode=mode, match_on=["method", "path"], filter_headers=["authorization"])


@each_of_httpx
@each_order
async def test_calls_are_recorded_and_played(configuration: str, is_made_first: bool, tmp_path: Path) -> None:
    path = tmp_path / "calls.yaml"
    with RecordingDesk() as server:
        async with AsyncDesk(server.url, token="s3cret", **OPTIONS[configuration](server.url)) as desk:
            with cassette(path, "once"):
                assert await use(desk) == 1
        assert len(server.received) == 5
    recorded = path.read_text("utf-8")
    assert "s3cret" not in recorded
    assert "Refund" in recorded
    assert "multipart/form-data" in recorded
    async with intercepted(configuration, cassette(path, "none"), is_made_first=is_made_first) as desk:
        assert await use(desk) == 1


async def test_the_upload_of_a_file_is_recorded_and_played(tmp_path: Path) -> None:
    path, file = tmp_path / "upload.yaml", tmp_path / "a.txt"
    file.write_bytes(b"the-content-of-a-file")
    with RecordingDesk() as server:
        async with AsyncDesk(server.url, token="t") as desk:
            with cassette(path, "once"):
                await desk.files.upload(file)
        [form] = [request for request in server.received if "/form" in request.line]
    assert b"the-content-of-a-file" in form.body
    assert "the-content-of-a-file" in path.read_text("utf-8")
    async with intercepted("default", cassette(path, "none")) as desk:
        assert (await desk.files.upload(file)).id == 5


async def test_a_request_that_was_not_recorded_reaches_no_server(tmp_path: Path) -> None:
    async with intercepted("default", cassette(tmp_path / "empty.yaml", "none")) as desk:
        with pytest.raises(TransportError, match="CannotOverwriteExistingCassetteException"):
            await desk.conversations.get(42)
