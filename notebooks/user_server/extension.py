"""Two routes of a user's Jupyter server, behind the server's own authentication.

GET geoportal/work  what runs that must not be taken away, for whoever ends idle servers
GET geoportal/room  how full the home directory is, for the banner

Neither counts as activity: a banner that asks would keep a forgotten server alive for ever.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from user_server.room import Home, Room
from user_server.work import Shell, own_environment, work_of


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "user_server.extension"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Offer both routes; nothing of the home directory is read before somebody asks."""
    base = url_path_join(app.web_app.settings["base_url"], "geoportal")
    threads = ThreadPoolExecutor(1, thread_name_prefix="user-server")
    home = Home.from_environment(os.environ)
    shown = _below(Path(app.root_dir), home.path)
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "work"), WorkHandler, {"threads": ThreadPoolExecutor(1)}),
            (
                url_path_join(base, "room"),
                RoomHandler,
                {"threads": threads, "home": home, "shown": shown},
            ),
        ],
    )


class WorkHandler(APIHandler):
    """GET geoportal/work."""

    _track_activity = False

    def initialize(self, threads: ThreadPoolExecutor) -> None:
        """Take the thread that looks."""
        self._threads = threads

    @authenticated
    async def get(self) -> None:
        """Answer how many terminals are at work, and how many processes came loose."""
        manager = self.settings.get("terminal_manager")
        terminals = manager.terminals.values() if manager is not None else ()
        shells = [Shell(one.ptyproc.pid, one.ptyproc.argv[0]) for one in terminals]
        loop = IOLoop.current()
        work = await loop.run_in_executor(self._threads, work_of, shells, own_environment())
        self.finish(asdict(work))


class RoomHandler(APIHandler):
    """GET geoportal/room."""

    _track_activity = False

    def initialize(self, threads: ThreadPoolExecutor, home: Home, shown: str | None) -> None:
        """Take what looks, and where the file browser shows the home directory."""
        self._threads, self._home, self._shown = threads, home, shown

    @authenticated
    async def get(self) -> None:
        """Answer limit, share, used and allowed bytes, and the biggest places."""
        try:
            room = await IOLoop.current().run_in_executor(self._threads, self._home.room)
        except OSError as error:
            raise HTTPError(503, reason="home not readable", log_message=str(error)) from error
        self.finish(_told(room, self._shown))


def _told(room: Room, shown: str | None) -> dict[str, Any]:
    """Return the answer; a place the file browser does not show has no path."""
    return {
        "limit": room.limit,
        "share": room.share,
        "used": room.used,
        "allowed": room.allowed,
        "biggest": [
            {
                "name": place.name,
                "size": place.size,
                "path": _path(place.name, shown),
                "is_folder": place.is_folder,
            }
            for place in room.biggest
        ],
    }


def _path(name: str, shown: str | None) -> str | None:
    is_hidden = any(part.startswith(".") for part in name.split("/"))
    return None if shown is None or is_hidden else f"{shown}{name}"


def _below(root: Path, home: Path) -> str | None:
    """Return how names in the home directory begin in the file browser, whose top is `root`."""
    try:
        inside = home.resolve().relative_to(root.resolve())
    except ValueError:
        return None
    return "" if inside == Path() else f"{inside.as_posix()}/"
