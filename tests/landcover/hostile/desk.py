"""Hostile and odd input: the command does its work rightly or says in one sentence why not."""

import csv
import json
import re
import signal
import stat
import struct
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Polygon

from landcover.cli import main
from landcover.io.legend import Legend
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

CPU_SECONDS = 20.0
PROGRESS = re.compile(r"( *\d+%|remark:) .*")
ROTATED = TRANSFORM @ Affine.rotation(30)
LEGEND = Legend.of(["forest", "town", "water"])


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """A folder of inputs, and one to write to."""

    root: Path

    @property
    def inputs(self):
        return self.root / "in"

    @property
    def out(self):
        return self.root / "out"

    def run(self, operation, **inputs):
        given = {"workdir": self.out, "overwrite": "true"} | inputs
        arguments = [operation, *(f"--{name}={value}" for name, value in given.items())]
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), _in_reasonable_time():
            status = main(arguments)
        return Done(status, out.getvalue(), err.getvalue())

    def refuses(self, operation, **inputs):
        """Run it, need exit 2, one sentence and no trace; return the sentence."""
        before = self._files()
        return self._one_sentence(self.run(operation, **inputs), before)

    def does(self, operation, **inputs):
        """Run it, need exit 0, one JSON object and nothing half-written; return the object."""
        return self._one_object(self.run(operation, **inputs))

    def does_or_refuses(self, operation, **inputs):
        """Return the object, or None where one sentence refused."""
        before = self._files()
        done = self.run(operation, **inputs)
        if done.status == 0:
            return self._one_object(done)
        self._one_sentence(done, before)
        return None

    def _one_sentence(self, done, before):
        assert done.status == 2, done
        assert done.out == ""
        *said, sentence = done.err.splitlines()
        assert all(PROGRESS.fullmatch(line) for line in said), done.err
        assert re.fullmatch(r"landcover: \S.*", sentence)
        assert sentence.isprintable()
        assert len(sentence) < 1000, "a sentence, no book"
        assert self._files() == before
        return sentence

    def _one_object(self, done):
        assert done.status == 0, done.err
        assert all(PROGRESS.fullmatch(line) for line in done.err.splitlines()), done.err
        result = json.loads(done.out, parse_constant=pytest.fail)
        assert isinstance(result, dict)
        assert not [path for path in self.out.rglob(".*") if path.is_file()]
        return result

    def _files(self):
        """Everything in both folders, hidden files too; a file with size and time."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            regular = stat.S_ISREG(status.st_mode)
            found[path] = (status.st_size, status.st_mtime_ns) if regular else None
        return found

    def samples(self, name):
        """The container of a class, by its folder."""
        return np.load(self.out / "samples" / name / "samples.npy")

    def counts(self):
        with (self.out / "counts.csv").open(newline="", encoding="utf-8") as file:
            return {row["class"]: int(row["samples"]) for row in csv.DictReader(file)}

    def selection(self):
        with (self.out / "selection.csv").open(newline="", encoding="utf-8") as file:
            return [(row["file"], row["class"]) for row in csv.DictReader(file)]

    def statistics(self):
        return json.loads((self.out / "statistics.json").read_text())


@contextmanager
def _in_reasonable_time():
    """End what takes more than seconds of this processor: a tiny file must not cost hours."""

    def end(signum, frame):
        raise TimeoutError(f"still at work after {CPU_SECONDS} seconds of CPU time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _desk(root):
    desk = Desk(root)
    desk.inputs.mkdir()
    desk.out.mkdir()
    return desk


@contextmanager
def fresh_desk():
    with tempfile.TemporaryDirectory() as root:
        yield _desk(Path(root))


def numbered(dtype="uint16", bands=2, side=16):
    """Every pixel of every band holds another number."""
    return np.arange(1, 1 + bands * side * side).astype(dtype).reshape(bands, side, side)


def a_scene(desk, values=None, name="scene.tif", **how):
    return write_raster(desk.inputs / name, numbered() if values is None else values, **how)


def some_labels(desk, shape=None, name="labels.gpkg", label="a"):
    return write_labels(desk.inputs / name, [(label, shape or pixels(0, 0, 16, 16))])


def write_geojson(path, *features, crs=None):
    """Write (class, geometry) pairs as they are; a geometry is a dict, in degrees by default."""
    listed = [
        {"type": "Feature", "properties": {"class": name}, "geometry": geometry}
        for name, geometry in features
    ]
    collection = {"type": "FeatureCollection", "features": listed}
    path.write_text(json.dumps(collection | ({"crs": crs} if crs else {})))
    return path


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def a_map(desk, codes=None, name="map.tif", tag=None, **how):
    codes = np.ones((16, 16), np.uint8) if codes is None else codes
    tags = {"LANDCOVER_LEGEND": LEGEND.to_tag() if tag is None else tag}
    return write_raster(desk.inputs / name, codes, **({"nodata": 255} | how), **tags)


def a_reference(desk, label="forest"):
    return some_labels(desk, pixels(0, 0, 4, 4), name="reference.gpkg", label=label)


def some_samples(desk, **arrays):
    """Write a samples folder: a class of five good samples, and one per array given."""
    folder = desk.inputs / "samples"
    good = {"good": np.arange(10, dtype=np.float32).reshape(5, 2, 1, 1)}
    for name, array in (good | arrays).items():
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "x.npy", array)
    return folder


def npy_header(text, version=(1, 0)):
    """A .npy header of any text."""
    body = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(body)) + body


def pixel_polygon(transform, row, column, height=1, width=1):
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return Polygon([transform @ (column + x, row + y) for x, y in corners])


def patched_tag(content, tag, value):
    """Set a SHORT or LONG tag of a small little-endian TIFF."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    patched = bytearray(content)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        number, kind = struct.unpack_from("<HH", content, entry)
        if number == tag:
            kind = 4 if value > 0xFFFF else kind
            struct.pack_into("<H", patched, entry + 2, kind)
            struct.pack_into({3: "<HH", 4: "<I"}[kind], patched, entry + 8,
                             *((value, 0) if kind == 3 else (value,)))  # fmt: skip
    assert bytes(patched) != content
    return bytes(patched)


AUX = """<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>
<Metadata><MDI key="LANDCOVER_LEGEND">[{"code": 1, "name": "lie"}]</MDI></Metadata>
<PAMRasterBand band="1"><Description>lie</Description>
</PAMRasterBand></PAMDataset>"""


def add_sidecars(path):
    """Put beside a raster whatever GDAL would believe, but what says which pixels are valid."""
    path.with_name(f"{path.name}.aux.xml").write_text(AUX)
    path.with_suffix(".aux.xml").write_text(AUX)
    write_raster(path.with_name(f"{path.name}.ovr"), np.zeros((16, 16), np.uint8))
    for suffix in (".tfw", ".tifw", ".wld"):
        path.with_suffix(suffix).write_text("1\n0\n0\n-1\n0\n0\n")
    vrt = "<VRTDataset rasterXSize='16' rasterYSize='16'></VRTDataset>"
    path.with_name(f"{path.name}.vrt").write_text(vrt)
    path.with_suffix(".rpb").write_text("lie")
    path.with_suffix(".IMD").write_text("lie")
