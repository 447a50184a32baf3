"""A test case whose method `test_x` runs beside a second thread that runs `_test_x`.

The second thread calls clientSetUp before and clientTearDown after it.
"""

import threading
import unittest


class ThreadableTest(unittest.TestCase):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._own_set_up, self._own_tear_down = self.setUp, self.tearDown
        self.setUp, self.tearDown = self._start_client, self._join_client

    def clientSetUp(self):
        raise NotImplementedError

    def clientTearDown(self):
        pass

    def serverExplicitReady(self):
        self.server_ready.set()

    def _start_client(self):
        self.server_ready, self.client_ready = threading.Event(), threading.Event()
        self.client_errors = []
        self.server_failed = False
        body = getattr(self, "_" + self._testMethodName)
        self.client_thread = threading.Thread(target=self._client, args=(body,), daemon=True)
        self.client_thread.start()
        try:
            self._own_set_up()
        except BaseException:
            self.server_failed = True
            raise
        finally:
            self.server_ready.set()
        self.client_ready.wait()

    def _client(self, body):
        self.server_ready.wait()
        try:
            try:
                self.clientSetUp()
            finally:
                self.client_ready.set()
            if not self.server_failed:
                body()
        except BaseException as error:
            self.client_errors.append(error)
        finally:
            try:
                self.clientTearDown()
            except BaseException as error:
                self.client_errors.append(error)

    def _join_client(self):
        self._own_tear_down()
        self.client_thread.join(30)
        if self.client_errors:
            raise self.client_errors[0]
