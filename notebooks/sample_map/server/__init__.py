"""What this package does in every user's Jupyter server: the course, tiles, jobs of the panel.

Tiles are drawn behind the server's own authentication, and of scenes in the user's storage only:
an address holds a storage name and nothing else that names a file.

Jupyter finds it by etc/jupyter/jupyter_server_config.d/sample_map.json, which comes with the
package.
"""

import math
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from landcover.errors import InputError, NameRefused
from sample_map.server.course import install_course
from sample_map.server.runs import HANDLERS, Runs

if TYPE_CHECKING:
    from sample_map.data.tiles import Look, TileMaker

Told = Callable[[str], str]
Answer = Callable[[Told], Awaitable[dict[str, Any]]]

_THREADS = 2  # of a server that has a kernel beside it
_RASTERS = 50  # read at one place
_AGE = 3600  # seconds that a browser keeps a tile; the address changes with the scene


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "sample_map.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Offer tiles and jobs, and install the course whose pages GEOPORTAL_COURSE names."""
    address = url_path_join(app.web_app.settings["base_url"], "sample_map", "tiles", _TILE)
    drawing, runs = Drawing(), Runs()
    base = url_path_join(app.web_app.settings["base_url"], "sample_map")
    app.web_app.add_handlers(
        ".*$",
        [
            (address, TileHandler, {"drawing": drawing}),
            *(
                (url_path_join(base, name), AnswerHandler, {"answer": answer})
                for name, answer in drawing.answers.items()
            ),
            (url_path_join(base, r"picture\.png"), PictureHandler, {"drawing": drawing}),
            *(
                (url_path_join(base, name), handler, {"runs": runs})
                for name, handler in HANDLERS.items()
            ),
        ],
    )
    source = os.environ.get("GEOPORTAL_COURSE")
    if source:
        _install(app, Path(source))


def _install(app: ServerApp, source: Path) -> None:
    try:
        has_r = "ir" in app.kernel_spec_manager.find_kernel_specs()
        written = install_course(source, Path.home() / "course", has_r)
    except OSError as error:  # a full disk must not keep anybody out of their server
        app.log.warning("the course could not be installed: %s", error)
    else:
        app.log.info("course: %s", ", ".join(written) or "up to date")


_TILE = r"(\d{1,2})/(\d{1,9})/(\d{1,9})\.png"


class Drawing:
    """Draws and reads in threads of its own; what it needs is imported when it is first asked."""

    def __init__(self) -> None:
        """Start no thread before it is needed."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tiles")
        self._counters = ThreadPoolExecutor(1, thread_name_prefix="areas")
        self._maker: TileMaker | None = None
        self.answers: dict[str, Answer] = {
            "look": self.look,
            "limits": self.limits,
            "values": self.values,
            "areas": self.areas,
        }

    def tile(self, told: Told, zoom: int, column: int, row: int) -> Awaitable[bytes]:
        """Draw a tile of a scene, as `TileMaker.tile` does."""

        def draw() -> bytes:
            return self._tiles().tile(told("scene"), _look(told), zoom, column, row)

        return IOLoop.current().run_in_executor(self._threads, draw)

    def look(self, told: Told) -> Awaitable[dict[str, Any]]:
        """Say what a raster is (?name=NAME&language=ru), as `looking.look_at` does."""

        def look() -> dict[str, Any]:
            from sample_map.server.looking import look_at

            return asdict(look_at(told("name"), told("language") or "en"))

        return IOLoop.current().run_in_executor(self._threads, look)

    def limits(self, told: Told) -> Awaitable[dict[str, Any]]:
        """Say what is black and white in view (?scene&bands&stretch&view=S,W,N,E)."""

        def limits() -> dict[str, Any]:
            view = _numbers(told("view"), 4)
            found = self._tiles().limits(told("scene"), _look(told), view)  # type: ignore[arg-type]
            return {"limits": found}

        return IOLoop.current().run_in_executor(self._threads, limits)

    def values(self, told: Told) -> Awaitable[dict[str, Any]]:
        """Say what rasters hold at a place (?names=A|B&place=LONGITUDE,LATITUDE)."""

        def values() -> dict[str, Any]:
            from sample_map.data.inspection import read_at

            names = [name for name in told("names").split("|") if name]
            if len(names) > _RASTERS:
                raise InputError(
                    f"{len(names)} rasters are asked for, at most {_RASTERS} are read"
                )
            longitude, latitude = _numbers(told("place"), 2)
            return {"readings": [asdict(r) for r in read_at(names, longitude, latitude)]}

        return IOLoop.current().run_in_executor(self._threads, values)

    def areas(self, told: Told) -> Awaitable[dict[str, Any]]:
        """Say how much of each class is on a map (?name=NAME); a large one takes seconds."""

        def areas() -> dict[str, Any]:
            from landcover.io.raster import open_raster
            from landcover.storage import readable_at_home
            from sample_map.data.areas import class_areas

            with readable_at_home(told("name")) as path, open_raster(path) as dataset:
                return {"classes": [asdict(one) for one in class_areas(dataset)]}

        return IOLoop.current().run_in_executor(self._counters, areas)

    def picture(self, name: str) -> Awaitable[bytes]:
        """Draw the whole of a raster, as `looking.picture_of` does."""

        def picture() -> bytes:
            from sample_map.server.looking import picture_of

            return picture_of(name)

        return IOLoop.current().run_in_executor(self._threads, picture)

    def _tiles(self) -> "TileMaker":
        from sample_map.data.tiles import TileMaker  # heavy, and many servers never draw

        self._maker = self._maker or TileMaker()
        return self._maker


def _look(told: Told) -> "Look":
    from sample_map.data.tiles import Look

    style = told("style") or "scene"
    return Look.read(told("bands"), told("stretch"), told("limits"), style)


def _numbers(text: str, count: int) -> tuple[float, ...]:
    try:
        found = tuple(float(number) for number in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise InputError(f"a place needs {count} numbers with commas, it is {text[:40]}")
    return found


class TileHandler(APIHandler):
    """GET sample_map/tiles/ZOOM/COLUMN/ROW.png?scene=NAME&bands=4,3,2&stretch=2,98."""

    def initialize(self, drawing: Drawing) -> None:
        """Take what draws."""
        self._drawing = drawing

    @authenticated
    async def get(self, zoom: str, column: str, row: str) -> None:
        """Answer with a PNG, or with 404 and a sentence."""
        try:
            png = await self._drawing.tile(_told(self), int(zoom), int(column), int(row))
        except NameRefused as error:
            raise HTTPError(404, reason="no such scene", log_message=str(error)) from error
        except InputError as error:
            raise HTTPError(422, reason="no picture", log_message=str(error)) from error
        self.set_header("Cache-Control", f"private, max-age={_AGE}")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(png, set_content_type="image/png")


class AnswerHandler(APIHandler):
    """GET sample_map/NAME?...: what `Drawing.answers` says, as JSON."""

    def initialize(self, answer: Answer) -> None:
        """Take what answers."""
        self._answer = answer

    @authenticated
    async def get(self) -> None:
        """Answer with JSON, or with 422 and a sentence."""
        try:
            self.finish(await self._answer(_told(self)))
        except InputError as error:
            self.set_status(422)
            self.finish({"message": str(error)})


def _told(handler: APIHandler) -> Told:
    """Return what reads an argument of the address; one that is not given is empty."""
    return lambda name: str(handler.get_query_argument(name, ""))


class PictureHandler(APIHandler):
    """GET sample_map/picture.png?name=NAME: the whole of a raster."""

    def initialize(self, drawing: Drawing) -> None:
        """Take what draws."""
        self._drawing = drawing

    @authenticated
    async def get(self) -> None:
        """Answer with a PNG, or with 422."""
        try:
            png = await self._drawing.picture(self.get_query_argument("name", ""))
        except InputError as error:
            raise HTTPError(422, reason="no picture", log_message=str(error)) from error
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(png, set_content_type="image/png")
