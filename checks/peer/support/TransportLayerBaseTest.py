"""A CAN bus made of two queues around `self.stack`, with helpers to put frames on it and check answers."""

import queue
import unittest

SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # data length by DLC


class TransportLayerBaseTest(unittest.TestCase):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._empty()

    def setUp(self):
        self._empty()

    def init_test_case(self):
        self._empty()

    def _empty(self):
        self.rx_block_count = 0
        self.ll_rx_queue, self.ll_tx_queue = queue.Queue(), queue.Queue()
        self.error_triggered = {}

    # The CAN layer given to the stack
    def stack_rxfn(self):
        return self._poll(self.ll_rx_queue)

    def stack_rxfn_blocking(self, timeout):
        try:
            return self.ll_rx_queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def stack_txfn(self, msg):
        self.ll_tx_queue.put(msg)

    def error_handler(self, error):
        self.error_triggered.setdefault(type(error), []).append(error)

    @staticmethod
    def _poll(source):
        try:
            return source.get_nowait()
        except queue.Empty:
            return None

    # What a test does with it
    def rx_isotp_frame(self):
        return self.stack.recv()

    def tx_isotp_frame(self, frame):
        self.stack.send(frame)

    def get_tx_can_msg(self):
        return self._poll(self.ll_tx_queue)

    def simulate_rx_msg(self, msg):
        self.ll_rx_queue.put(msg)

    def make_payload(self, size, start_val=0):
        return [value % 256 for value in range(start_val, start_val + size)]

    def make_flow_control_data(self, flow_status, stmin, blocksize, prefix=None):
        return bytearray(prefix or ()) + bytearray((0x30 | flow_status & 0x0F, blocksize, stmin))

    def nearest_can_fd_size(self, size):
        return next(fit for fit in SIZES if fit >= size)

    def get_canfd_dlc(self, size):
        return SIZES.index(size)

    # Checks
    def assert_sent_flow_control(
        self, stmin, blocksize, flowstatus=0, prefix=None, padding_byte=None, extra_msg=""
    ):
        msg = self.get_tx_can_msg()
        assert msg is not None, f"no flow control was sent {extra_msg}"
        expected = self.make_flow_control_data(flowstatus, stmin, blocksize, prefix)
        if padding_byte is not None:
            expected += bytearray([padding_byte] * (8 - len(expected)))
        assert msg.data == expected, f"another flow control was sent {extra_msg}"
        assert msg.dlc == len(expected), f"flow control with a wrong DLC {extra_msg}"

    def assert_error_triggered(self, error_type):
        assert self.error_triggered.get(error_type), f"{error_type.__name__} was not reported"

    def assert_no_error_triggered(self):
        assert self.error_triggered == {}

    def clear_errors(self):
        self.error_triggered = {}
