"""What comes after a map, against GDAL's own calls and a loop of SciPy."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import rasterio.shutil
import shapely
from rasterio.features import shapes, sieve

from benchmarks import made
from benchmarks.measure import LANDCOVER, Row, compare

COMMANDS = (sys.executable, "-m", "benchmarks.maps")
_PATCH = 9


def rows(side: int) -> list[Row]:
    """Sieve, smooth, polygonise and compare a map of this side in pixels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, source, _ = made.map_and_references(folder, side)
        later = folder / "later.tif"
        _as_of_later(source, later)
        return [
            *_sieved(source, folder, side),
            *_smoothed(source, folder, side),
            *_polygonised(source, folder, side),
            *_changed(source, later, folder, side),
        ]


def _landcover(operation: str, folder: Path, *given: str | Path) -> tuple[str | Path, ...]:
    return (*LANDCOVER, operation, *given, "--workdir", folder / operation, "--overwrite", "true")


def _sieved(source: Path, folder: Path, side: int) -> list[Row]:
    theirs = folder / "gdal-sieve.tif"

    def gate() -> str:
        same = _codes(folder / "sieve-map" / "map.tif") == _codes(theirs)
        if not same.all():
            raise SystemExit("the sieved maps differ")
        return f"{side**2:,} pixels equal"

    ours = _landcover("sieve-map", folder, "--map", source, "--pixels", str(_PATCH))
    peers = {"GDAL's sieve and COG driver": (*COMMANDS, "gdal_sieve", source, theirs)}
    return compare(f"sieve-map, {side}²", ours, peers, gate)


def _smoothed(source: Path, folder: Path, side: int) -> list[Row]:
    theirs = folder / "scipy-majority.tif"

    def gate() -> str:
        inner = np.s_[1:-1, 1:-1]
        ours = _codes(folder / "sieve-map" / "map.tif")[inner]
        agree = (ours == _codes(theirs)[inner]).mean()
        if agree < 0.99:  # of equally frequent classes SciPy's loop takes the lowest
            raise SystemExit("the smoothed maps differ")
        return f"{agree:.1%} of the pixels equal, ties apart"

    ours = _landcover("sieve-map", folder, "--map", source, "--method", "majority")
    peers = {"sums of SciPy's filter, whole map": (*COMMANDS, "scipy_majority", source, theirs)}
    return compare(f"sieve-map, majority of 3 by 3, {side}²", ours, peers, gate)


def _polygonised(source: Path, folder: Path, side: int) -> list[Row]:
    theirs = folder / "gdal.gpkg"

    def gate() -> str:
        ours = pyogrio.read_info(folder / "polygonize-map" / "polygons.gpkg", layer="polygons")
        if ours["features"] != pyogrio.read_info(theirs)["features"]:
            raise SystemExit("the numbers of polygons differ")
        return f"{ours['features']:,} polygons each"

    ours = _landcover("polygonize-map", folder, "--map", source)
    peers = {"GDAL's polygons of the whole map": (*COMMANDS, "gdal_polygons", source, theirs)}
    return compare(f"polygonize-map, {side}²", ours, peers, gate)


def _changed(source: Path, later: Path, folder: Path, side: int) -> list[Row]:
    theirs = folder / "numpy-changes.tif"

    def gate() -> str:
        same = (_codes(folder / "detect-changes" / "changes.tif") != 1) == _codes(theirs)
        if not same.all():
            raise SystemExit("the changes differ")
        return f"{side**2:,} pixels equal"

    ours = _landcover("detect-changes", folder, "--first", source, "--second", later)
    peers = {"numpy, whole maps, no report": (*COMMANDS, "numpy_changes", source, later, theirs)}
    return compare(f"detect-changes, {side}²", ours, peers, gate)


def gdal_sieve(source: Path, target: Path) -> None:
    """Sieve by rasterio, then copy to the COG driver."""
    codes, profile = _read(source)
    _write_cog(sieve(codes, _PATCH, mask=codes != 255), profile, target)


def scipy_majority(source: Path, target: Path) -> None:
    """Take the class with the largest mean of SciPy's uniform filter."""
    from scipy.ndimage import uniform_filter

    codes, profile = _read(source)
    classes = np.unique(codes[codes != 255])
    best, found = np.zeros(codes.shape, np.float32), codes.copy()
    for code in classes:
        share = uniform_filter((codes == code).astype(np.float32), 3, mode="constant")
        more = share > best + 1e-3
        found[more], best[more] = code, share[more]
    found[codes == 255] = 255
    _write_cog(found, profile, target)


def gdal_polygons(source: Path, target: Path) -> None:
    """Polygonise by rasterio, and write by pyogrio."""
    codes, profile = _read(source)
    found = [
        (shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:]), code)
        for shape, code in shapes(codes, codes != 255, 4, profile["transform"])
    ]
    polygons, values = zip(*found, strict=True)
    pyogrio.raw.write(
        target, geometry=shapely.to_wkb(np.array(polygons)), field_data=[np.array(values)],
        fields=["code"], geometry_type="Polygon", crs=profile["crs"].to_wkt(), driver="GPKG",
    )  # fmt: skip


def numpy_changes(first: Path, second: Path, target: Path) -> None:
    """Write where two maps differ."""
    one, profile = _read(first)
    other, _ = _read(second)
    _write_cog((one != other).astype(np.uint8), profile | {"nodata": None}, target)


WAYS = {way.__name__: way for way in (gdal_sieve, scipy_majority, gdal_polygons, numpy_changes)}


def _as_of_later(source: Path, target: Path) -> None:
    """Write a map in which a twentieth of the blocks has another class."""
    codes, profile = _read(source)
    rng = np.random.default_rng(1)
    blocks = rng.random((len(codes) // 64 + 1, codes.shape[1] // 64 + 1)) < 0.05
    changed = np.kron(blocks, np.ones((64, 64), bool))[: len(codes), : codes.shape[1]]
    codes[changed & (codes != 255)] = codes[codes != 255].min()
    with rasterio.open(source) as dataset:
        tags = dataset.tags()
    with rasterio.open(target, "w", **profile) as dataset:
        dataset.write(codes, 1)
        dataset.update_tags(LANDCOVER_LEGEND=tags["LANDCOVER_LEGEND"])


def _read(path: Path) -> tuple[np.ndarray, dict]:
    with rasterio.open(path) as dataset:
        return dataset.read(1), {**dataset.profile, "driver": "GTiff"}


def _codes(path: Path) -> np.ndarray:
    return _read(path)[0]


def _write_cog(codes: np.ndarray, profile: dict, target: Path) -> None:
    plain = target.with_suffix(".plain.tif")
    with rasterio.open(plain, "w", **profile) as dataset:
        dataset.write(codes, 1)
    rasterio.shutil.copy(
        plain, target, driver="COG", COMPRESS="DEFLATE", OVERVIEW_RESAMPLING="mode"
    )


if __name__ == "__main__":
    WAYS[sys.argv[1]](*map(Path, sys.argv[2:]))
