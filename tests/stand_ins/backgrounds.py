"""What stands in for a map server elsewhere: a WMS 1.1.1 and tiles, each of one colour."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from PIL import Image

RELIEF, ROADS = (200, 60, 120), (90, 160, 40)
LARGEST = 2048  # pixels of a picture's side, as real servers have a limit
EXCEPTION = """<?xml version="1.0"?>
<ServiceExceptionReport version="1.1.1"><ServiceException>{}</ServiceException>
</ServiceExceptionReport>"""


@dataclass
class Backgrounds:
    """A server of background maps.

    Attributes:
        url: of its root; below are /wms and /tiles/ZOOM/COLUMN/ROW.png.
        asked: what a WMS was asked for, in capitals, request by request.
        speaks: cleared, it takes requests and does not answer them until it is set.
    """

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    speaks: threading.Event = field(default_factory=threading.Event)

    def answer(self, address: str) -> tuple[str, bytes]:
        """Return the type and the content of an answer."""
        self.speaks.wait()
        parts = urlsplit(address)
        if re.fullmatch(r"/tiles/\d+/\d+/\d+\.png", parts.path):
            return "image/png", _picture(256, 256, ROADS)
        told = {
            key.upper(): value for key, value in parse_qsl(parts.query, keep_blank_values=True)
        }
        self.asked.append(told)
        if fault := _fault(told):
            return "application/vnd.ogc.se_xml", EXCEPTION.format(fault).encode()
        return "image/png", _picture(int(told["WIDTH"]), int(told["HEIGHT"]), RELIEF)


def _fault(told: dict[str, str]) -> str:
    """Return what is wrong with a GetMap, as a WMS says it; empty if nothing is."""
    fixed = {"SERVICE": "WMS", "REQUEST": "GetMap", "FORMAT": "image/png"}
    for name, value in fixed.items():
        if told.get(name) != value:
            return f"{name} is {told.get(name)}"
    if told.get("LAYERS") != "relief":
        return "LayerNotDefined"
    if told.get("VERSION") != "1.1.1" or told.get("SRS") != "EPSG:3857":
        return "InvalidSRS"
    west, south, east, north = map(float, told["BBOX"].split(","))
    sides = int(told["WIDTH"]), int(told["HEIGHT"])
    return "" if west < east and south < north and max(sides) <= LARGEST else "InvalidBBOX"


def _picture(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


@contextmanager
def backgrounds() -> Iterator[Backgrounds]:
    """Serve background maps on a free port of this machine."""
    known = Backgrounds()
    known.speaks.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = known.answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield known
    known.speaks.set()
    server.shutdown()
    server.server_close()
    thread.join()
