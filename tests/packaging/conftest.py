"""No test here reaches AWS, whatever it does: its credentials are words, and it can connect to nothing but loopback."""

import os
import socket

import pytest
from template import PSEUDO, Stack

# Before the first client is built.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="AKIANOBODY0000000000",
    AWS_SECRET_ACCESS_KEY="nobody",
    AWS_DEFAULT_REGION=PSEUDO["AWS::Region"],
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def stack():
    return Stack()


def pytest_configure(config):
    # moto tells of each resource type that it cannot make; test_created.py has the list.
    config.addinivalue_line("filterwarnings", "ignore:Tried to parse:UserWarning")
