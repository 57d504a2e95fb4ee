"""What tests need of the system: programs (skipped without them, failed where everything is promised) and ports."""

import os
import socket

import pytest


def missing(reason):
    """Skip the test; fail it where ``CRYORESDL_COMPLETE`` says that nothing may be left out, as CI does."""
    if os.environ.get("CRYORESDL_COMPLETE", "") not in ("", "0"):
        pytest.fail(f"CRYORESDL_COMPLETE is set, but this test {reason}")
    pytest.skip(reason)


def free_ports(count):
    """Ports of this machine that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
