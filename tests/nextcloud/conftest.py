import pytest

from tests.nextcloud.servers import Server, real_server, stood_in


@pytest.fixture
def dav(tmp_path):
    """The stand-in, with faults on demand."""
    stand_in, users = stood_in(tmp_path / "nextcloud")
    with stand_in.serving():
        yield Server(stand_in.url, users, "ice & snow", {}, stand_in)


@pytest.fixture(params=["stand-in", "real"])
def server(request):
    """The stand-in, and the real Nextcloud if there is one."""
    return real_server() if request.param == "real" else request.getfixturevalue("dav")


@pytest.fixture
def local(tmp_path):
    """A function that makes a file of this machine and opens it."""
    opened = []

    def make(content=b"a map", name="local.tif"):
        path = tmp_path / name
        path.write_bytes(content)
        opened.append(path.open("rb"))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


@pytest.fixture
def target(tmp_path):
    with (tmp_path / "target").open("w+b") as file:
        yield file
