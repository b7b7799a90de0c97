"""The fixture `agb_server`: one server for a whole run of pytest."""

import pytest

import agb_server as package


@pytest.fixture(scope="session")
def agb_server():
    """A server that runs, with `endpoint` and `api_key`. It ends with the tests."""
    with package.start() as server:
        yield server
