"""Make one scene of whatever a provider delivered.

This is the only operation that opens other formats than GeoTIFF. Windows of whole blocks are
read, brought to one grid, masked and packed by a few threads, so memory does not grow with the
scene; what is finished survives an interruption.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from landcover.errors import InputError
from landcover.inference.area import Area, read_area
from landcover.io.bands import listed
from landcover.io.files.atomic import draft_folder, write_json
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import writing_scene
from landcover.io.raster import Grid
from landcover.io.records.checkpoints import resumable
from landcover.io.records.run_record import DISTRIBUTION, input_digests, with_recipe
from landcover.io.sensors import key_of
from landcover.operation import JSON, GeoTIFF, Given, LabelFile, Range
from landcover.progress import remark, report_progress
from landcover.scenes.deliveries import Delivery, opened_delivery
from landcover.scenes.formats.opening import Raster, format_of, rasters_in
from landcover.scenes.placing import common_grid, part_within
from landcover.scenes.products.product import Product, SourceBand
from landcover.scenes.products.recognise import product_of
from landcover.scenes.quality import causes_in
from landcover.scenes.stac_item import item_of
from landcover.scenes.storing import Look, look_at, stored_as
from landcover.scenes.transfer import Copied, Hiding, Task, copy_pixels

UNFINISHED = (".scene.tif.tiles", ".scene.tif.windows")
"""Names of the files in which an interrupted run leaves what it has written."""

Delivered = Annotated[
    AnyPath,
    Given(
        "file",
        (".zip", ".tar", ".gz", ".tif", ".tiff", ".jp2", ".nc", ".img", ".dat", ".bil", ".bsq",
         ".bip", ".h5", ".safe", ".zarr"),
        folders=True,
    ),
]  # fmt: skip


@dataclass(frozen=True)
class ImportedScene:
    """A scene that an operation of ours can take.

    Attributes:
        scene: bands on one grid with names, wavelengths, scale and offset; date, sensor, level
            and product id are its tags SENSOR, LEVEL, DATE and PRODUCT_ID.
        item: the scene as STAC item.
        valid: share of the pixels (of the area, if one is given) that are valid in all bands,
            0 to 1.
    """

    scene: GeoTIFF
    item: JSON
    valid: float


def import_scene(
    source: list[Delivered],
    bands: str = "",
    resolution: Annotated[float, Range(0, 1e7)] = 0.0,
    area: LabelFile | None = None,
    layer: str = "",
    clouds: Literal["mask", "keep"] = "mask",
    masked: str = "cloud, shadow, cirrus, defective",
    date: str = "",
    sensor: str = "",
    workdir: AnyPath = "",
) -> ImportedScene:
    """Make one scene of what a provider delivered.

    Products of Sentinel-2 (level 1C and 2A) and Landsat Collection 2 as folder, zip or tar; files
    of one band each; GeoTIFF, JPEG 2000, ENVI, ERDAS Imagine, NetCDF and Zarr with a regular
    grid. Values stay as they are; scale and offset say what they mean.

    Args:
        source: folder or archive of one product, or the files that belong together. An ENVI file
            is given by its data, its header lies beside it.
        bands: which, in which order, renamed where that helps, as in B04,red=B08; all that
            measure reflectance by default. Others of a product, such as SCL or thermal bands,
            are read if they are named.
        resolution: side of a pixel in units of the coordinate system, as in 20; 0 is the finest
            of the bands. Larger pixels are repeated, of smaller ones the mean is taken.
        area: polygons in any coordinate system; the scene is cut to them, and pixels whose
            centre lies outside are invalid.
        layer: of the area, where its file holds several.
        clouds: what to do where the product's quality band (SCL, QA_PIXEL, MSK_CLASSI) shows
            what `masked` names: make these pixels invalid, or keep them, and SCL or QA_PIXEL as
            a band.
        masked: what is masked: some of cloud, shadow, cirrus, snow, water, defective.
        date: of the measurement, as in 2023-08-01, where the files do not say it.
        sensor: that measured, as in Landsat 8 OLI, where the files do not say it.
        workdir: folder to write to.

    Raises:
        InputError: nothing is there that can be read; the sentence says which format it is and
            what to do. Or an archive or file refers elsewhere, bands are missing, or the area
            lies outside.
    """
    folder = Path(workdir)
    causes = causes_in(masked) if clouds == "mask" else ()
    paths = [*map(Path, source)]
    report_progress(0, "looking at what was delivered")
    with (
        draft_folder(folder, "import") as scratch,
        opened_delivery(paths, scratch) as delivery,
        ExitStack() as opened,
    ):
        product = product_of(delivery, scratch).completed(date, sensor)
        chosen = choose(product, bands, with_quality=clouds == "keep")
        _remark_on(product, chosen, bands)
        rasters = _Rasters(delivery, product, scratch)
        looks = look_at(chosen, [rasters.of(band) for band in chosen], opened)
        grid, shift, inside = _where(looks, resolution, area, layer)
        hiding = _hiding(product, rasters, causes, clouds)
        _remark_on_grid(looks, grid)
        pixels = stored_as(looks, can_hide=hiding is not None or inside is not None, grid=grid)
        task = Task(looks, grid, shift, pixels, inside, hiding)
        seal = _seal(task, paths, area, (bands, resolution, masked, clouds, layer))
        with resumable(folder, UNFINISHED, seal) as (tiles, windows):
            with writing_scene(
                folder / "scene.tif", grid, [_described(band) for band in chosen], pixels,
                _tags(product, chosen, causes if hiding else ()), tiles,
                [(band.scale, band.offset) for band in chosen],
            ) as writer:  # fmt: skip
                copied = copy_pixels(task, writer, windows)
            item = item_of(product, chosen, grid, pixels, delivery.title)
            write_json(folder / "item.json", with_recipe(item))
    _remark_on_result(copied, product, causes)
    return ImportedScene(folder / "scene.tif", folder / "item.json", copied.share)


class _Rasters:
    """Files of a product, each unpacked and checked when it is first asked for."""

    def __init__(self, delivery: Delivery, product: Product, scratch: Path) -> None:
        self._delivery, self._scratch = delivery, scratch
        self._known = dict(product.rasters)

    def of(self, band: SourceBand) -> Raster:
        return self.at(band.member, band.variable)

    def at(self, member: str, variable: str = "") -> Raster:
        if (member, variable) not in self._known:
            report_progress(0, f"opening {member.rpartition('/')[2]}")
            path = self._delivery.path(member)
            kind = format_of(path)
            if kind not in ("GeoTIFF", "JPEG 2000"):
                raise InputError(f"{member} is neither GeoTIFF nor JPEG 2000, it may be damaged")
            self._known[member, ""] = rasters_in(path, kind, member, self._scratch)[""]
        return self._known[member, variable]


def choose(product: Product, text: str, *, with_quality: bool) -> list[SourceBand]:
    """Return bands of a product by what people wrote, as in `B04,red=B08`.

    Args:
        product: that has them.
        text: what people wrote; empty takes all that measure reflectance.
        with_quality: whether the quality band is taken besides, for mask-clouds.

    Raises:
        InputError: one is not there, or a name stands twice.
    """
    if not text.strip():
        chosen = [band for band in product.bands if not band.optional]
        if not chosen:
            raise InputError(f"the product has {_names(product)}: say by bands which to take")
        kind = product.quality.kind if product.quality and with_quality else ""
        return chosen + [band for band in product.bands if band.name == kind]
    pairs = [_pair(part) for part in text.split(",")]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"bands names {twice} twice, each band needs a name of its own", "bands")
    found = [_found(product, source) for _, source in pairs]
    _need_different(found, [source for _, source in pairs])
    return [band.renamed(name) for band, name in zip(found, names, strict=True)]


def _need_different(found: Sequence[SourceBand], sources: Sequence[str]) -> None:
    """Refuse one band under two names, as B04 and B4: a model would count it twice."""
    for number, band in enumerate(found):
        first = found.index(band)
        if first < number:
            raise InputError(
                f"bands names {sources[first]} and {sources[number]}, which are one band: each "
                "is taken once",
                "bands",
            )


def _pair(part: str) -> tuple[str, str]:
    name, is_renamed, source = (side.strip() for side in part.partition("="))
    if not name or (is_renamed and not source):
        raise InputError(
            f"bands has {part.strip() or 'nothing'} between commas, it needs names as in "
            "B04,red=B08",
            "bands",
        )
    return name, source if is_renamed else name


def _found(product: Product, name: str) -> SourceBand:
    exact = [band for band in product.bands if band.name == name][:1]
    alike = [band for band in product.bands if key_of(band.name) == key_of(name)]
    if not exact and len(alike) != 1:
        raise InputError(f"bands names {name}, the product has {_names(product)}", "bands")
    return (exact or alike)[0]


def _names(product: Product) -> str:
    return listed([band.name for band in product.bands])


def _where(
    looks: list[Look], resolution: float, area: AnyPath | None, layer: str
) -> tuple[Grid, tuple[int, int], Area | None]:
    """Return the grid of the scene, rows and columns cut off before it, and the area on it."""
    whole = common_grid([look.grid for look in looks], resolution)
    if area is None:
        if layer:
            raise InputError(f"layer {layer} is that of an area, and no area is given", "layer")
        return whole, (0, 0), None
    part = part_within(whole, read_area(area, whole, layer).polygons.geometries)
    cut = Grid(whole.crs, whole.transform_of(part), part.width, part.height)
    return cut, (part.row_off, part.col_off), read_area(area, cut, layer)


def _hiding(
    product: Product, rasters: _Rasters, causes: tuple[str, ...], clouds: str
) -> Hiding | None:
    quality = product.quality
    if clouds == "keep" or not causes:
        return None
    if quality is None:
        remark(
            f"no quality band was found in {product.kind}, so no clouds are masked: mask-clouds "
            "does it by a rule"
        )
        return None
    return Hiding(rasters.at(quality.member), quality.kind, quality.index, causes)


def _described(band: SourceBand) -> tuple[str, dict[str, str]]:
    if band.wavelength is None:
        return band.name, {}
    return band.name, {"WAVELENGTH": f"{band.wavelength:g}", "WAVELENGTH_UNITS": "nm"}


def _tags(product: Product, bands: list[SourceBand], causes: tuple[str, ...]) -> dict[str, str]:
    # what no unit is declared of, as classes, says nothing of the others
    told = [band for band in bands if not (band.optional and band.scale == 1.0)]
    units = {(band.scale, band.offset) for band in told}
    scale, offset = units.pop() if len(units) == 1 else (1.0, 0.0)
    is_declared = (scale, offset) != (1.0, 0.0)
    tags = {
        "SENSOR": product.sensor,
        "LEVEL": product.level,
        "DATE": product.day,
        "DATETIME": product.moment if "T" in product.moment else "",
        "PRODUCT_ID": product.product_id,
        "BASELINE": product.baseline,
        "SCALE": repr(scale) if is_declared else "",
        "OFFSET": repr(offset) if is_declared else "",
        "MASKED": ", ".join(causes),
    }
    return {key: value for key, value in tags.items() if value}


def _remark_on(product: Product, chosen: list[SourceBand], bands: str) -> None:
    if not product.day:
        remark("the files do not say when they were measured: say date, as in 2023-08-01")
    if not product.sensor:
        remark("the files do not say what measured them: say sensor, as in Landsat 8 OLI")
    left = [band.name for band in product.bands if band not in chosen]
    if left and not bands.strip():
        remark(f"{listed(left)} were left out, they measure no reflectance: name them by bands")


def _remark_on_grid(looks: list[Look], grid: Grid) -> None:
    warped = [look.band.name for look in looks if look.is_warped_to(grid)]
    if warped:
        remark(f"{listed(warped)} lie on another grid and were interpolated (bilinear) onto it")
    coarser = [look.band.name for look in looks if look.is_coarser_than(grid)]
    if coarser:
        remark(f"{listed(coarser)} have larger pixels, which were repeated")


def _remark_on_result(copied: Copied, product: Product, causes: tuple[str, ...]) -> None:
    if copied.hidden:
        kind = product.quality.kind if product.quality else ""
        shares = [
            f"{cause} {100 * copied.hidden.get(cause, 0) / copied.pixels:.1f} %"
            for cause in causes
        ]
        remark(f"masked by {kind}, of all pixels: {', '.join(shares)}")
    if not copied.valid:
        remark("no pixel of the scene is valid")


def _seal(
    task: Task, paths: list[Path], area: AnyPath | None, options: tuple[object, ...]
) -> dict[str, object]:
    """Return all that decides what is written."""
    from importlib.metadata import version

    return {
        "source": input_digests("source", paths),
        "area": None if area is None else input_digests("area", [Path(area)]),
        "options": [str(option) for option in options],
        "grid": [*task.grid.transform, task.grid.width, task.grid.height],
        "dtype": task.pixels.dtype.name,
        "code": version(DISTRIBUTION),
    }
