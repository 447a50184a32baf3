"""What a layer of isotp.aio does frame by frame, told once for any raw socket that carries CAN frames.

test_aio.py tells the stories on a pair of Unix sockets, tests/kernel/test_aio.py on SocketCAN. Each module has a
fixture `story` of its own. All run under the loops of asyncio and of uvloop.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import isotp
import isotp.aio
from tests.frames import counted, octets, words

HERE = isotp.Address(txid=0x123, rxid=0x456)
CTS = "30 00 00"
FIRST = "10 14 00 01 02 03 04 05"
REST = ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]
# Long enough that no frame comes of itself: the test ends before.
NEVER = 3600.0

LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(
        ("asyncio", {"use_uvloop": True}),
        id="uvloop",
        marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs uvloop"),
    ),
]


class Story:
    """A layer and the far end of its bus. Frames are written as in tests/frames.py."""

    def __init__(self, far: socket.socket, open_layer: Callable[..., isotp.aio.Layer]) -> None:
        self.far = far
        self.far.setblocking(False)
        self.open_layer = open_layer
        self.errors: list[Exception] = []

    def layer(self, **params: Any) -> isotp.aio.Layer:
        return self.open_layer(address=HERE, error_handler=self.errors.append, params=params)

    def says(self, *frames: str) -> None:
        for text in frames:
            payload = octets(text)
            self.far.send(struct.pack("=IB3x8s", 0x456, len(payload), payload))

    async def hears(self) -> str:
        """The next frame of the layer."""
        data = await asyncio.get_running_loop().sock_recv(self.far, 72)
        can_id, size = struct.unpack_from("=IB", data)
        assert can_id == 0x123
        return words(data[8 : 8 + size])

    async def still_works(self, layer: isotp.aio.Layer) -> None:
        """Nothing is left over: the next frames are those of new messages, and only those."""
        sending = start(layer.send(b"\xca\xfe"))
        assert await self.hears() == "02 CA FE"
        await sending
        sending = start(layer.send(counted(20)))
        assert await self.hears() == FIRST
        self.says(CTS)
        assert [await self.hears(), await self.hears()] == REST
        await sending
        self.says("02 BE EF", FIRST)
        assert await layer.recv() == b"\xbe\xef"
        assert (await self.hears())[:2] == "30"
        self.says(*REST)
        assert await layer.recv() == counted(20)
        assert not layer.transmitting()

    def complaints(self) -> list[type[Exception]]:
        errors, self.errors[:] = list(self.errors), []
        return [type(error) for error in errors]


def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


async def turns(number: int = 5) -> None:
    """Let the loop go round, so that tasks that can go on do."""
    for _ in range(number):
        await asyncio.sleep(0)


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
class Cancellation:
    """A task is cancelled in each state of its message; the layer is then as good as new."""

    async def test_a_send_that_is_queued(self, story: Story) -> None:
        async with story.layer() as layer:
            first, second, third = (start(layer.send(counted(size))) for size in (20, 7, 6))
            assert await story.hears() == FIRST
            await cancel(second)
            story.says(CTS)
            assert [await story.hears() for _ in range(3)] == [*REST, "06 00 01 02 03 04 05"]
            await asyncio.gather(first, third)
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_a_send_that_waits_for_flow_control(self, story: Story) -> None:
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            await cancel(sending)
            story.says(CTS)  # too late: no consecutive frame may follow
            await story.still_works(layer)
        assert story.complaints() == [isotp.UnexpectedFlowControlError]

    async def test_a_send_between_blocks(self, story: Story) -> None:
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            story.says("30 01 00")
            assert await story.hears() == REST[0]
            await cancel(sending)
            story.says(CTS)
            await story.still_works(layer)
        assert story.complaints() == [isotp.UnexpectedFlowControlError]

    async def test_a_send_that_waits_for_stmin(self, story: Story) -> None:
        async with story.layer(override_receiver_stmin=NEVER) as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            story.says("30 00 7F", "01 AA")
            assert await layer.recv() == b"\xaa"  # so the flow control was heard, too
            assert layer.transmitting()
            await cancel(sending)
            layer.params.override_receiver_stmin = None
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_a_send_with_stmin_that_runs(self, story: Story) -> None:
        """Some consecutive frames have gone; those that the timer was set for do not follow."""
        async with story.layer() as layer:
            sending = start(layer.send(counted(4095)))
            assert await story.hears() == "1F FF 00 01 02 03 04 05"
            story.says("30 00 01")
            for sn in (1, 2, 3):
                assert (await story.hears())[:2] == f"2{sn}"
            await cancel(sending)
            # What went before it was cancelled is still on its way here.
            story.says("01 AA")
            assert await layer.recv() == b"\xaa"
            marker = start(layer.send(b"\xee"))
            sn = 4
            while (heard := await story.hears()) != "01 EE":
                assert heard[:2] == f"2{sn:X}"
                sn += 1
            await marker
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_the_second_of_two_sends_goes_at_once(self, story: Story) -> None:
        """When the message before it is given up, a message that waits begins."""
        async with story.layer() as layer:
            first, second = start(layer.send(counted(20))), start(layer.send(b"\xaa"))
            assert await story.hears() == FIRST
            await cancel(first)
            assert await story.hears() == "01 AA"
            await second
            await story.still_works(layer)

    async def test_a_send_that_was_just_done(self, story: Story) -> None:
        """The last frame has gone when the cancellation comes."""
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            story.says(CTS)
            while layer.transmitting():
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
            assert [await story.hears(), await story.hears()] == REST
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_a_receive_amid_a_message(self, story: Story) -> None:
        async with story.layer() as layer:
            receiving = start(layer.recv())
            story.says(FIRST)
            assert await story.hears() == "30 08 00"
            await cancel(receiving)
            story.says(*REST)
            assert await layer.recv() == counted(20)
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_a_receive_for_which_the_message_is_there(self, story: Story) -> None:
        """It was woken for its message, and cancelled before it could take it: the next one gets it."""
        async with story.layer() as layer:
            first, second = start(layer.recv()), start(layer.recv())
            await turns()
            layer._session._feed(isotp.CanMessage(0x456, data=b"\x01\xaa"))
            await cancel(first)
            assert await second == b"\xaa"
            receiving = start(layer.recv())
            await turns()
            layer._session._feed(isotp.CanMessage(0x456, data=b"\x01\xbb"))
            await cancel(receiving)
            assert layer.available()
            assert await layer.recv() == b"\xbb"
            await story.still_works(layer)

    async def test_time_outs(self, story: Story) -> None:
        async with story.layer() as layer:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(layer.recv(), 0.001)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(layer.send(counted(20)), 0.001)
            assert await story.hears() == FIRST
            assert not layer.transmitting()
            await story.still_works(layer)
        assert story.complaints() == []

    async def test_a_send_in_the_midst_of_a_reception(self, story: Story) -> None:
        """Both directions are independent: what is received goes on."""
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            story.says(FIRST)
            assert await story.hears() == "30 08 00"
            await cancel(sending)
            story.says(*REST)
            assert await layer.recv() == counted(20)
            await story.still_works(layer)
        assert story.complaints() == []


@pytest.mark.anyio
class Errors:
    """What happens on the bus reaches the task that waits for it."""

    @pytest.mark.parametrize(
        ("answer", "cause"),
        [
            ("32 00 00", isotp.OverflowError),
            ("31 00 00", isotp.MaximumWaitFrameReachedError),
            (None, isotp.FlowControlTimeoutError),
        ],
    )
    async def test_a_send_that_fails(self, story: Story, answer: str | None, cause: type[Exception]) -> None:
        timeout = 1 if answer is None else 60_000
        async with story.layer(rx_flowcontrol_timeout=timeout, wftmax=1) as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            if answer is not None:
                story.says(answer, answer)
            with pytest.raises(isotp.BlockingSendFailure) as failed:
                await sending
            assert type(failed.value.__cause__) is cause
            layer.params.rx_flowcontrol_timeout = 60_000
            assert isinstance(layer.last_error, isotp.IsoTpError)
            await story.still_works(layer)

    async def test_a_reception_that_times_out(self, story: Story) -> None:
        async with story.layer(rx_consecutive_frame_timeout=1) as layer:
            story.says(FIRST)
            assert await story.hears() == "30 08 00"
            while not story.errors:
                await asyncio.sleep(0.001)
            assert story.complaints() == [isotp.ConsecutiveFrameTimeoutError]
            layer.params.rx_consecutive_frame_timeout = 60_000
            await story.still_works(layer)

    async def test_a_send_that_is_stopped(self, story: Story) -> None:
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            layer.stop_sending()
            with pytest.raises(isotp.BlockingSendFailure, match="it was stopped"):
                await sending
            await story.still_works(layer)

    async def test_closing_while_others_wait(self, story: Story) -> None:
        layer = story.layer()
        layer.start()
        received: list[bytes] = []

        async def listen() -> None:
            async for message in layer:
                received.append(bytes(message))

        tasks = [start(work) for work in (layer.send(counted(20)), layer.send(b"\xaa"), layer.recv())]
        listening = start(listen())
        assert await story.hears() == FIRST
        await layer.close()
        for task in tasks:
            with pytest.raises(isotp.LayerClosedError, match="closed"):
                await task
        await listening
        assert received == []
        for call in (layer.send(b"\xaa"), layer.recv()):
            with pytest.raises(isotp.LayerClosedError):
                await call
        assert [message async for message in layer] == []
        with pytest.raises(isotp.LayerClosedError):
            layer.start()
        await layer.close()
        assert "closed" in repr(layer)
        assert story.complaints() == []

    async def test_a_closed_bus_is_heard_no_more(self, story: Story) -> None:
        async with story.layer():
            pass
        assert story.complaints() == []


@pytest.mark.anyio
class Turns:
    """Who gets what, and when."""

    async def test_receivers_are_served_in_turn(self, story: Story) -> None:
        async with story.layer() as layer:
            tasks = [start(layer.recv()) for _ in range(3)]
            await turns()
            story.says("01 AA", "01 BB", "01 CC", "01 DD")
            assert await asyncio.gather(*tasks) == [b"\xaa", b"\xbb", b"\xcc"]
            assert await layer.recv() == b"\xdd"

    async def test_a_late_receiver_does_not_overtake(self, story: Story) -> None:
        async with story.layer() as layer:
            first = start(layer.recv())
            await turns()
            layer._session._feed(isotp.CanMessage(0x456, data=b"\x01\xaa"))
            layer._session._feed(isotp.CanMessage(0x456, data=b"\x01\xbb"))
            # `first` was woken and has not run yet.
            assert await layer.recv() == b"\xbb"
            assert await first == b"\xaa"

    async def test_messages_of_many_tasks_go_in_turn(self, story: Story) -> None:
        async with story.layer() as layer:
            tasks = [start(layer.send(bytes([k]))) for k in range(40)]
            assert [await story.hears() for _ in range(40)] == [f"01 {k:02X}" for k in range(40)]
            await asyncio.gather(*tasks)

    async def test_iteration(self, story: Story) -> None:
        async with story.layer() as layer:
            story.says("01 AA", "01 BB")
            received = []
            async for message in layer:
                received.append(bytes(message))
                if len(received) == 2:
                    break
            assert received == [b"\xaa", b"\xbb"]

    async def test_frames_that_came_while_the_loop_was_busy_came_in_time(self, story: Story) -> None:
        """N_Cr is over when the loop looks at the clock again, but the frame was there before."""
        async with story.layer(rx_consecutive_frame_timeout=200) as layer:
            story.says(FIRST)
            assert await story.hears() == "30 08 00"
            story.says(*REST)
            # The loop is what must not run meanwhile, so this cannot be awaited.
            time.sleep(0.25)
            assert await layer.recv() == counted(20)
        assert story.complaints() == []

    async def test_a_message_that_begins_in_time_is_waited_for(self, story: Story) -> None:
        async with story.layer() as layer:
            receiving = start(layer.recv(begin_within=0.3))
            await turns()
            story.says(FIRST)
            assert (await story.hears())[:2] == "30"
            await asyncio.sleep(0.4)  # longer than it had to begin
            assert not receiving.done()
            story.says(*REST)
            assert await receiving == counted(20)

    async def test_none_begins_in_time(self, story: Story) -> None:
        async with story.layer() as layer:
            with pytest.raises(TimeoutError, match="begun within"):
                await layer.recv(begin_within=0.01)
            await story.still_works(layer)

    async def test_one_that_has_begun_breaks_off(self, story: Story) -> None:
        async with story.layer() as layer:
            receiving = start(layer.recv(begin_within=NEVER))
            await turns()
            story.says(FIRST)
            await story.hears()
            story.says("25 00")
            with pytest.raises(isotp.BlockingReceiveFailure) as failure:
                await receiving
            assert isinstance(failure.value.__cause__, isotp.WrongSequenceNumberError)
            story.complaints()
            await story.still_works(layer)

    async def test_one_that_has_begun_is_another_receivers(self, story: Story) -> None:
        async with story.layer() as layer:
            first, second = start(layer.recv()), start(layer.recv(begin_within=0.05))
            await turns()
            story.says(FIRST)
            await story.hears()
            await asyncio.sleep(0.1)
            story.says(*REST)
            assert await first == counted(20)
            with pytest.raises(TimeoutError):
                await second

    @pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
    async def test_seconds_that_can_not_be(self, story: Story, wrong: float) -> None:
        async with story.layer() as layer:
            with pytest.raises(ValueError, match="begin_within"):
                await layer.recv(begin_within=wrong)
            with pytest.raises(TypeError, match="begin_within"):
                await layer.recv(begin_within="1")  # type: ignore[arg-type]

    async def test_a_message_with_its_times_and_address(self, story: Story) -> None:
        async with story.layer() as layer:
            before = time.perf_counter_ns(), time.time()
            story.says("02 CA FE")
            reception = await layer.recvmsg()
        assert (reception.payload, reception.address, reception.arbitration_id) == (b"\xca\xfe", HERE, 0x456)
        assert before[0] - 1_000_000_000 < reception.began_ns == reception.ended_ns <= time.perf_counter_ns()
        assert reception.timestamp is not None
        assert abs(reception.timestamp - before[1]) < 3600

    async def test_a_sender_that_waits_goes_on_when_a_message_was_taken(self, story: Story) -> None:
        async with story.layer(rx_queue_limit=1, wftmax=10, wait_frame_interval=3_600_000) as layer:
            story.says("01 61", FIRST)
            assert (await story.hears())[:2] == "31"
            assert await layer.recv() == b"a"
            assert (await story.hears())[:2] == "30"
            story.says(*REST)
            assert await layer.recv() == counted(20)

    async def test_one_message_of_its_own_kind(self, story: Story) -> None:
        async with story.layer() as layer:
            sending = start(layer.send(counted(20)))
            assert await story.hears() == FIRST
            others = [
                start(layer.send(b"a", params={"tx_padding": 0x55})),
                start(layer.send(b"b", priority=True)),
            ]
            await turns()
            story.says(CTS)
            assert [await story.hears() for _ in range(4)] == [*REST, "01 62", "01 61 55 55 55 55 55 55"]
            await asyncio.gather(sending, *others)

    async def test_a_long_message_lets_others_work(self, story: Story) -> None:
        size = 2 + 7 * 64 * 20
        async with story.layer() as layer:
            sending = start(layer.send(counted(size)))
            await story.hears()
            story.says(CTS)
            heard = 0
            others = 0

            async def work() -> None:
                nonlocal others
                while not sending.done():
                    others += 1
                    await asyncio.sleep(0)

            working = start(work())
            while heard < 64 * 20:
                await story.hears()
                heard += 1
            await asyncio.gather(sending, working)
            assert others >= 20

    async def test_one_that_sends_all_the_time_lets_others_work(self, story: Story) -> None:
        """Nothing ever makes it wait, yet it must hear when it is to stop."""
        async with story.layer() as layer:
            going = True

            async def send() -> int:
                sent = 0
                while going:
                    await layer.send(b"\xaa")
                    sent += 1
                return sent

            heard = 0

            async def hear() -> None:
                nonlocal heard
                while True:
                    assert await story.hears() == "01 AA"
                    heard += 1

            sending, hearing = start(send()), start(hear())
            while heard < 100 and not hearing.done():
                await turns()
            going = False
            # Its last message may wait for room, which only goes on hearing make.
            sent = await sending
            while heard < sent and not hearing.done():
                await turns()
            await cancel(hearing)
            assert heard == sent
            await story.still_works(layer)
