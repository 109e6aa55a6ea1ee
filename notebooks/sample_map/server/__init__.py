"""What this package does in every user's Jupyter server: it installs the course and draws tiles.

Tiles are drawn behind the server's own authentication, and of scenes in the user's storage only:
an address holds a storage name and nothing else that names a file.

Jupyter finds it by etc/jupyter/jupyter_server_config.d/sample_map.json, which comes with the
package.
"""

import os
from collections.abc import Awaitable
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

if TYPE_CHECKING:
    from sample_map.data.tiles import TileMaker

_THREADS = 2  # of a server that has a kernel beside it
_AGE = 3600  # seconds that a browser keeps a tile; the address changes with the scene


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "sample_map.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Offer tiles, and install the course whose pages GEOPORTAL_COURSE names."""
    address = url_path_join(app.web_app.settings["base_url"], "sample_map", "tiles", _TILE)
    drawing = Drawing()
    base = url_path_join(app.web_app.settings["base_url"], "sample_map")
    app.web_app.add_handlers(
        ".*$",
        [
            (address, TileHandler, {"drawing": drawing}),
            (url_path_join(base, "look"), LookHandler, {"drawing": drawing}),
            (url_path_join(base, r"picture\.png"), PictureHandler, {"drawing": drawing}),
        ],
    )
    source = os.environ.get("GEOPORTAL_COURSE")
    if source:
        _install(app, Path(source))


def _install(app: ServerApp, source: Path) -> None:
    try:
        written = install_course(source, Path.home() / "course")
    except OSError as error:  # a full disk must not keep anybody out of their server
        app.log.warning("the course could not be installed: %s", error)
    else:
        app.log.info("course: %s", ", ".join(written) or "up to date")


_TILE = r"(\d{1,2})/(\d{1,9})/(\d{1,9})\.png"


class Drawing:
    """Draws tiles in threads of their own; what it needs is imported with the first tile."""

    def __init__(self) -> None:
        """Start no thread before it is needed."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tiles")
        self._maker: TileMaker | None = None

    def tile(
        self, name: str, bands: str, stretch: str, zoom: int, column: int, row: int
    ) -> Awaitable[bytes]:
        """Draw a tile of a scene, as `TileMaker.tile` does."""
        return IOLoop.current().run_in_executor(
            self._threads, self._draw, name, bands, stretch, zoom, column, row
        )

    def look(self, name: str) -> Awaitable[dict[str, Any]]:
        """Say what a raster is, as `looking.look_at` does."""

        def look() -> dict[str, Any]:
            from sample_map.server.looking import look_at

            return asdict(look_at(name))

        return IOLoop.current().run_in_executor(self._threads, look)

    def picture(self, name: str) -> Awaitable[bytes]:
        """Draw the whole of a raster, as `looking.picture_of` does."""

        def picture() -> bytes:
            from sample_map.server.looking import picture_of

            return picture_of(name)

        return IOLoop.current().run_in_executor(self._threads, picture)

    def _draw(
        self, name: str, bands: str, stretch: str, zoom: int, column: int, row: int
    ) -> bytes:
        from sample_map.data.tiles import Look, TileMaker  # heavy, and many servers never draw

        self._maker = self._maker or TileMaker()
        return self._maker.tile(name, Look.read(bands, stretch), zoom, column, row)


class TileHandler(APIHandler):
    """GET sample_map/tiles/ZOOM/COLUMN/ROW.png?scene=NAME&bands=4,3,2&stretch=2,98."""

    def initialize(self, drawing: Drawing) -> None:
        """Take what draws."""
        self._drawing = drawing

    @authenticated
    async def get(self, zoom: str, column: str, row: str) -> None:
        """Answer with a PNG, or with 404 and a sentence."""
        name = self.get_query_argument("scene", "")
        bands = self.get_query_argument("bands", "")
        stretch = self.get_query_argument("stretch", "")
        try:
            png = await self._drawing.tile(name, bands, stretch, int(zoom), int(column), int(row))
        except NameRefused as error:
            raise HTTPError(404, reason="no such scene", log_message=str(error)) from error
        except InputError as error:
            raise HTTPError(422, reason="no picture", log_message=str(error)) from error
        self.set_header("Cache-Control", f"private, max-age={_AGE}")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(png, set_content_type="image/png")


class LookHandler(APIHandler):
    """GET sample_map/look?name=NAME: what a raster is."""

    def initialize(self, drawing: Drawing) -> None:
        """Take what looks."""
        self._drawing = drawing

    @authenticated
    async def get(self) -> None:
        """Answer with JSON as `looking.Look`, or with 422 and a sentence."""
        try:
            self.finish(await self._drawing.look(self.get_query_argument("name", "")))
        except InputError as error:
            self.set_status(422)
            self.finish({"message": str(error)})


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
