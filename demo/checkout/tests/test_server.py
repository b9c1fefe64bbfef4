"""The server on a real socket."""

import http.client
import json
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

from checkout.app import App
from checkout.journal import Journal, Label
from checkout.server import Server
from tests import shops


class Held(shops.Provider):
    """A provider that can be made to wait in the middle of a charge."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def charge(self, cents: int, card: str, reference: str) -> str:
        """Charge when let go."""
        self.asked.set()
        self.go.wait(10)
        return super().charge(cents, card, reference)


class ServerTest(unittest.TestCase):
    """Connections, logs and stopping."""

    def setUp(self) -> None:
        """Serve on a unix socket in a folder of our own."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "access.log"
        self.path = str(Path(folder.name) / "s")
        label = Label("canary", "abc")
        self.provider = Held()
        app = App(shops.open_shop(self.provider), Journal(label, self.log), label)
        self.server = Server(self.path, app, label)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def tearDown(self) -> None:
        """Stop."""
        if not self.server.draining:
            self.server.drain()
        self.server.server_close()
        self.thread.join()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the server's socket."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        self.addCleanup(connection.close)
        return connection

    def test_one_connection_serves_many_requests(self) -> None:
        connection = self.connect()
        for _ in range(3):
            connection.request("POST", "/checkout", json.dumps(shops.order()))
            response = connection.getresponse()
            response.read()
            self.assertEqual((200, "abc"), (response.status, response.headers["X-Revision"]))
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.assertEqual([("canary", 200)] * 3, [(one["version"], one["status"]) for one in lines])

    def test_an_order_in_the_middle_of_its_charge_is_finished(self) -> None:
        self.provider.go.clear()
        connection = self.connect()
        connection.request("POST", "/checkout", json.dumps(shops.order()))
        self.assertTrue(self.provider.asked.wait(10))
        stopping = threading.Thread(target=self.server.drain)
        stopping.start()
        while not self.server.draining:
            time.sleep(0.001)
        self.provider.go.set()
        response = connection.getresponse()
        response.read()
        stopping.join()
        self.assertEqual((200, "close"), (response.status, response.headers["Connection"]))
