"""A real gateway in front of a slow Desk: nginx replaces timeouts with a maintenance page, as operators set it up."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from urllib.parse import unquote

import anyio
import pytest
from raw_server import RawServer, http, read_request

from teamwork_desk import AsyncDesk, ConvertedConversation

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONVERSATIONS = range(1, 17)
CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {desk};
            proxy_read_timeout 1s;
            error_page 502 504 =503 /sorry;
        }}
        location = /sorry {{
            internal;
            default_type text/html;
            add_header Retry-After 1 always;
            return 503 "<h1>We will be back soon</h1>";
        }}
    }}
}}
"""


class SlowDesk(RawServer):
    """Takes two seconds for a conversion, also if nobody waits for the response any more."""

    def __init__(self) -> None:
        super().__init__(self._exchange)
        self.tickets: defaultdict[int, list[int]] = defaultdict(list)

    def _exchange(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if converts := re.search(r"conversations/(\d+)/convert", request.line):
            number = int(converts[1])
            threading.Event().wait(2)
            self.tickets[number].append(1000 + number)
            body: dict[str, object] = self._conversation(number)
        else:
            where = json.loads(unquote(request.line.split("filter=")[1].split("&")[0].split(" ")[0]))["id"]
            body = {"conversations": [self._conversation(each) for each in where.get("$in") or [where["$eq"]]]}
        connection.sendall(http(200, json.dumps(body).encode()))

    def _conversation(self, number: int) -> dict[str, object]:
        return {"id": number, "ticket_id": next(iter(self.tickets[number]), None)}


@pytest.fixture
def desk_server() -> Generator[SlowDesk]:
    with SlowDesk() as server:
        yield server


@pytest.fixture
def gateway(desk_server: SlowDesk, tmp_path: Path) -> Generator[str]:
    assert NGINX is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, desk=desk_server.url), "utf-8")
    process = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(config), "-e", str(tmp_path / "error.log")])
    try:
        _wait_until_open(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_until_open(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx did not start")


@pytest.mark.parametrize("verify_first", [True, False])
async def test_a_maintenance_page_in_front_of_a_slow_desk_makes_no_second_ticket(
    desk_server: SlowDesk, gateway: str, verify_first: bool
) -> None:
    results: list[ConvertedConversation] = []

    async def convert(number: int) -> None:
        results.append(await desk.conversations.convert(number, verify_first=verify_first))

    async with AsyncDesk(gateway, token="t") as desk, anyio.create_task_group() as calls:
        for number in CONVERSATIONS:
            calls.start_soon(convert, number)
    assert all(result.created for result in results)
    assert {number: len(tickets) for number, tickets in desk_server.tickets.items()} == dict.fromkeys(CONVERSATIONS, 1)
