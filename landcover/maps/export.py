"""Hand a map on: one file with all that somebody needs who did not make it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from landcover import strict_json
from landcover.errors import InputError
from landcover.io.files.atomic import to_json, written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.files.plain_files import read_plain_file
from landcover.io.legend_files import write_legend
from landcover.io.records.run_record import input_digest, recipe_tag
from landcover.io.sidecars.legend_beside import categories_of, style_of
from landcover.maps.areas import ClassArea, measured_whole
from landcover.maps.opened import OpenMap, open_map
from landcover.maps.picture import draw_map
from landcover.maps.styles import raster_sld
from landcover.operation import ZIP, Folder, MapFile
from landcover.progress import remark, report_progress

_NO_DATE = (1980, 1, 1, 0, 0, 0)
_MOST_BYTES = 1 << 24
_RECORD = "run.assess-quality.json"


@dataclass(frozen=True)
class MapPackage:
    """A map to be handed on.

    Attributes:
        package: a zip with the map, its legend as a table, styles for QGIS (QML) and others (SLD),
            a picture, metadata as JSON, and a README in English and Russian that says what the map
            is, how accurate, and what may be done with it.
    """

    package: ZIP


def export_map(
    map: MapFile,
    title: str = "",
    author: str = "",
    licence: str = "",
    assessment: Folder | None = None,
    workdir: AnyPath = "",
) -> MapPackage:
    """Put a map into one zip with style, legend, metadata, licence and a statement of accuracy.

    Args:
        map: a classified scene, of this or another program.
        title: of the map; by default the name of its file.
        author: who made it, as they want to be cited.
        licence: under which others may use it, such as CC-BY-4.0; without one nobody may.
        assessment: the folder that assess-quality wrote for this very map.
        workdir: folder to write to.

    Raises:
        InputError: it is no map, or the assessment is of another one.
    """
    target = Path(workdir) / "package.zip"
    digest = input_digest("map", Path(map))
    accuracy = None if assessment is None else _accuracy(Path(assessment), digest, Path(map).name)
    with open_map(map) as opened:
        about = {
            "title": title.strip() or Path(map).stem,
            "author": author.strip() or None,
            "licence": licence.strip() or None,
            "date": opened.dataset.tags().get("DATE"),
            "sha256": digest,
            "crs": opened.grid.crs.to_string(),
            "bounds": list(opened.dataset.bounds),
            "pixel": [abs(opened.dataset.transform.a), abs(opened.dataset.transform.e)],
            "made": {k: v for k, v in opened.dataset.tags().items() if k == "LANDCOVER_RECIPE"},
            "accuracy": accuracy,
        }
        areas = measured_whole(opened)
        _remark_on_missing(about)
        _write(opened, Path(map), about, areas, target)
    return MapPackage(target)


def _accuracy(folder: Path, digest: Any, map: str) -> dict[str, Any]:
    """Return what an assessment says of this map.

    Raises:
        InputError: the folder holds none, or one of another map.
    """
    record = _read_json(folder / _RECORD)
    statistics = _read_json(folder / "statistics.json")
    try:
        of_map = record["recipe"]["inputs"]["map"]
        overall = statistics["overall"]
        found = {
            "overall": overall["Overall ACC"],
            "kappa": overall["Kappa"],
            "inside_training": statistics["inside_training"],
            "trained_on_reference": statistics["trained_on_reference"],
            "per_class": {
                name: {"users": statistics["class"]["PPV"][name],
                       "producers": statistics["class"]["TPR"][name]}
                for name in statistics["classes"]
            },
            "area_adjusted": statistics.get("area_adjusted"),
        }  # fmt: skip
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder.name} holds no assessment, it needs the folder that assess-quality wrote",
            "assessment",
        ) from error
    if of_map != digest:
        raise InputError(
            f"the assessment in {folder.name} is of another map than {map}: assess this one",
            "assessment",
        )
    return found


def _read_json(path: Path) -> Any:
    try:
        return strict_json.loads(read_plain_file(path, _MOST_BYTES).decode())
    except ValueError as error:
        raise InputError(f"{path.name} holds no JSON", "assessment") from error


def _remark_on_missing(about: Mapping[str, Any]) -> None:
    if about["licence"] is None:
        remark("no licence was said, so nobody may use the map: CC-BY-4.0 is a usual one")
    if about["accuracy"] is None:
        remark("the package tells no accuracy: give the folder that assess-quality wrote")
    elif about["accuracy"]["trained_on_reference"]:
        remark("the map was assessed where it was trained, its accuracy looks too good")


def _write(
    opened: OpenMap, map: Path, about: Mapping[str, Any], areas: list[ClassArea], target: Path
) -> None:
    name = map.stem
    with written_beside(target) as beside, ZipFile(beside, "w") as archive:
        archive.comment = "".join(recipe_tag().values()).encode()
        report_progress(0, "packing the map")
        _add_file(archive, f"{name}/{map.name}", map)
        texts = {
            f"{map.name}.aux.xml": categories_of(opened.legend),
            f"{name}.qml": style_of(opened.legend),
            f"{name}.sld": raster_sld(opened.legend, name),
            "legend.csv": _legend_table(opened, target.parent),
            "metadata.json": to_json({**about, "areas": [vars(each) for each in areas]}),
            "README.txt": "\n".join(_readme(about, areas, map.name)),
        }
        for file, text in texts.items():
            archive.writestr(_entry(f"{name}/{file}", ZIP_DEFLATED), text)
        picture = draw_map(map, opened.legend)
        archive.writestr(_entry(f"{name}/{name}.png", ZIP_STORED), picture)


def _entry(name: str, compression: int) -> ZipInfo:
    entry = ZipInfo(name, _NO_DATE)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    return entry


def _add_file(archive: ZipFile, name: str, path: Path) -> None:
    """Add a file as it is: a COG is compressed already."""
    entry = _entry(name, ZIP_STORED)
    entry.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(entry, "w") as into:
        copyfileobj(source, into, 1 << 20)


def _legend_table(opened: OpenMap, folder: Path) -> str:
    draft = folder / ".legend.csv"
    try:
        write_legend(draft, opened.legend)
        return draft.read_text(encoding="utf-8")
    finally:
        draft.unlink(missing_ok=True)


def _readme(about: Mapping[str, Any], areas: list[ClassArea], file: str) -> Iterator[str]:
    yield from (str(about["title"]), "=" * len(str(about["title"])), "")
    author = about["author"] or "not said / не указан"
    licence = about["licence"] or (
        "none was given: ask the author before using it / не указана: спросите автора"
    )
    yield f"Author / автор: {author}"
    yield f"Licence / лицензия: {licence}"
    if about["date"]:
        yield f"Date of the scene / дата снимка: {about['date']}"
    yield f"Coordinate system / система координат: {about['crs']}"
    yield ""
    yield f"Open {file} in QGIS: it is drawn with the colours and names of its legend."
    yield f"Откройте {file} в QGIS: карта будет показана с цветами и названиями легенды."
    yield from ("", "Classes, hectares counted on the map / классы, гектары по карте", "")
    for each in areas:
        amount = "–" if each.hectares != each.hectares else f"{each.hectares:,.1f}"
        yield f"  {each.code:>3}  {each.name}  {amount}"
    yield from ("", *_accuracy_told(about["accuracy"]))


def _accuracy_told(accuracy: Mapping[str, Any] | None) -> Iterator[str]:
    if accuracy is None:
        yield "Accuracy: not assessed. Do not rely on this map without a check of your own."
        yield "Точность: не оценена. Не полагайтесь на карту без собственной проверки."
        return
    adjusted = accuracy["area_adjusted"]
    if adjusted is None:
        share = 100 * accuracy["overall"]
        yield (
            f"Accuracy: {share:.1f} % of the compared reference pixels agree. The reference is no "
            "random sample of the map, so there is no interval."
        )
        yield (
            f"Точность: совпадает {share:.1f} % сравнённых пикселей эталона. Эталон не случайная "
            "выборка из карты, поэтому интервала нет."
        )
    else:
        share, (low, high) = 100 * adjusted["accuracy"][0], adjusted["intervals"]["accuracy"]
        yield (
            f"Accuracy, area-adjusted: {share:.1f} % (95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} %), from a random sample stratified by the map's classes (Olofsson "
            "et al. 2014)."
        )
        yield (
            f"Точность с поправкой на площадь: {share:.1f} % (95 % интервал от {100 * low:.1f} до "
            f"{100 * high:.1f} %), по случайной выборке, стратифицированной по классам карты "
            "(Olofsson и др. 2014)."
        )
    if accuracy["trained_on_reference"]:
        yield "Part of the reference lies where the map was trained: elsewhere it may be worse."
        yield "Часть эталона лежит там, где карта обучалась: в других местах она может быть хуже."
    yield ""
    yield "User's and producer's accuracy / точность пользователя и производителя, %"
    for name, each in accuracy["per_class"].items():
        users, producers = (
            "–" if value is None else f"{100 * value:.1f}" for value in each.values()
        )
        yield f"  {name}: {users}, {producers}"
