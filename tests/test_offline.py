"""The suite itself: nothing outside this machine can be reached."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from pytest_socket import SocketConnectBlockedError
from support import GUARD

CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"


def test_other_hosts_are_blocked() -> None:
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_other_hosts_are_blocked_in_the_processes_of_tests() -> None:
    done = subprocess.run([sys.executable, "-c", GUARD + CONNECT], capture_output=True, text=True)
    assert "SocketConnectBlockedError" in done.stderr


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
