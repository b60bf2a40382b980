"""What stops a run of the command: signals, the gate in front of the network, and failures that every job shares."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import anyio
import httpx
import pytest
import typer

from teamwork_desk import AuthenticationError, DeskError, ServerError
from teamwork_desk.cli._convert_many import _interrupted  # pyright: ignore[reportPrivateUsage]
from teamwork_desk.cli._failures import explain
from teamwork_desk.cli._gate import Gate, RefusedError
from teamwork_desk.cli._interrupts import Interrupts, interrupts
from teamwork_desk.cli._shell import run

CONVERSION = "https://acme.teamwork.com/desk/api/v2/conversations/42/convert.json"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_an_interrupt_within_a_task_group_ends_the_command_as_any_other() -> None:
    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            raise KeyboardInterrupt

    said: list[str] = []
    with pytest.raises(typer.Exit) as ended:
        run(work(), lambda: said.append("interrupted"))
    assert (ended.value.exit_code, said) == (130, ["interrupted"])


def test_an_error_beside_an_interrupt_is_not_hidden() -> None:
    async def work() -> None:
        raise BaseExceptionGroup("both", [KeyboardInterrupt(), ZeroDivisionError()])

    with pytest.raises(BaseExceptionGroup, match="both"):
        run(work())


async def test_the_gate_lets_no_conversion_pass_before_a_run_has_begun() -> None:
    gate = Gate()
    with pytest.raises(RefusedError, match="no run has begun to convert conversation 42"):
        await gate.before_request(httpx.Request("POST", CONVERSION))
    await gate.before_request(httpx.Request("GET", CONVERSION))


async def test_a_gate_knows_whether_a_conversion_has_passed() -> None:
    gate = Gate(lambda _: None)
    await gate.before_request(httpx.Request("GET", CONVERSION))
    assert not gate.has_passed
    await gate.before_request(httpx.Request("POST", CONVERSION))
    assert gate.has_passed


async def test_the_second_signal_cancels_the_run_and_the_first_does_not() -> None:
    stopped, came = asyncio.Event(), Interrupts()
    with interrupts(stopped.set, came):
        signal.raise_signal(signal.SIGTERM)
        await stopped.wait()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()
    assert came.number == 2


async def test_a_second_signal_at_the_end_of_the_run_cancels_nothing_that_follows() -> None:
    came = Interrupts()
    with interrupts(lambda: None, came):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    # Closing the connections, for example, waits for the event loop.
    for _ in range(3):
        await asyncio.sleep(0)
    assert came.number == 2


async def test_a_cancellation_without_a_second_signal_is_passed_on() -> None:
    async def run() -> None:
        with interrupts(lambda: None, Interrupts()):
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("error", "in_a_row", "reason"),
    [
        (AuthenticationError("401", status_code=401), 1, "stopped: Desk rejected the token"),
        (ServerError("500", status_code=500), 1, "stopped after a failure,"),
        (ServerError("500", status_code=500), 10, "stopped after 10 failures in a row,"),
    ],
)
def test_a_run_that_stops_by_itself_says_why(error: DeskError, in_a_row: int, reason: str) -> None:
    assert explain(error, in_a_row).startswith(reason)


@pytest.mark.parametrize(
    ("leaving", "text"),
    [(0, "nothing more is sent"), (1, "1 conversion that was sent comes"), (2, "2 conversions that were sent come")],
)
def test_an_interrupted_run_says_what_is_left(leaving: int, text: str) -> None:
    assert text in _interrupted(leaving)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_process_ends_does_not_change_the_exit_status(number: signal.Signals) -> None:
    # Python calls the function that was registered first at last.
    code = (
        f"import atexit, signal; atexit.register(signal.raise_signal, {int(number)});"
        "from teamwork_desk.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code, "--version"], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
