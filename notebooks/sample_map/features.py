"""Samples as they are drawn: who drew which class where and when, kept in one GeoJSON file.

Everything here works without a browser; the widget only passes on what the drawing tools report.
The tools know nothing of authors or times: a drawn feature carries at most the id that it was
given here, and `reconcile` turns what is on the map back into samples.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import geopandas
from shapely.geometry import shape

from landcover.errors import InputError
from landcover.storage import fetch, home_path
from landcover.storage.received import is_received
from landcover.writing import write_json

Geometry = Mapping[str, Any]
Feature = Mapping[str, Any]

CRS = "EPSG:4326"
COLUMNS = ("id", "class", "geometry", "author", "image", "drawn")
_ROOTS = ("home", "shared", "team")


@dataclass(frozen=True)
class Sample:
    """One labelled place.

    Attributes:
        id: a random UUID, kept when the outline is edited.
        class_name: the class of the legend that was chosen when it was drawn.
        geometry: GeoJSON geometry in degrees, longitude first.
        author: hub name of who drew it.
        image: storage name of the scene it was drawn on.
        drawn: when, RFC 3339 in UTC.
    """

    id: str
    class_name: str
    geometry: Geometry
    author: str
    image: str
    drawn: str

    @classmethod
    def new(cls, class_name: str, geometry: Geometry, author: str, image: str) -> "Sample":
        """Make a sample that was drawn just now."""
        drawn = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(str(uuid4()), class_name, geometry, author, image, drawn)

    @classmethod
    def from_feature(cls, feature: Feature) -> "Sample":
        """Read a GeoJSON feature; one that was made elsewhere may lack all but class and shape."""
        found = feature["properties"]
        return cls(
            id=str(found.get("id") or uuid4()),
            class_name=str(found["class"]),
            geometry=feature["geometry"],
            author=str(found.get("author") or ""),
            image=str(found.get("image") or ""),
            drawn=str(found.get("drawn") or ""),
        )

    def to_feature(self) -> dict[str, Any]:
        """Return the GeoJSON feature that is saved."""
        return {
            "type": "Feature",
            "id": self.id,
            "geometry": dict(self.geometry),
            "properties": {
                "id": self.id,
                "class": self.class_name,
                "author": self.author,
                "image": self.image,
                "drawn": self.drawn,
            },
        }


def reconcile(
    shown: Iterable[Feature],
    known: Sequence[Sample],
    new: Callable[[Geometry], Sample],
) -> tuple[Sample, ...]:
    """Turn what is on the map into samples.

    Args:
        shown: GeoJSON features of the drawing tools; those that were given an id carry it in
            their properties.
        known: the samples so far.
        new: makes the sample of a geometry that nobody knows yet.

    Returns:
        One sample for each feature, in the order shown: edited ones keep all but their shape,
        deleted ones are gone.
    """
    by_id = {sample.id: sample for sample in known}
    return tuple(_match(feature, by_id, new) for feature in shown)


def _match(
    feature: Feature, unclaimed: dict[str, Sample], new: Callable[[Geometry], Sample]
) -> Sample:
    """Take the sample that a feature shows out of those not yet claimed by another feature."""
    geometry = feature["geometry"]
    found = unclaimed.pop((feature.get("properties") or {}).get("id"), None)
    if found is None:  # reported again before the tools heard of its id
        found = next((s for s in unclaimed.values() if s.geometry == geometry), None)
        if found is None:
            return new(geometry)
        del unclaimed[found.id]
    return found if found.geometry == geometry else replace(found, geometry=geometry)


def merge(
    saved: Iterable[Sample], before: Sequence[Sample], after: Sequence[Sample]
) -> tuple[Sample, ...]:
    """Apply what changed on one map to what is saved, which another map may have changed too.

    Args:
        saved: what the file holds now.
        before: what this map showed before the change.
        after: what it shows now.

    Returns:
        The saved samples without the deleted ones, with the edited and the new ones.
    """
    merged = {sample.id: sample for sample in saved}
    for gone in {s.id for s in before} - {s.id for s in after}:
        merged.pop(gone, None)
    merged |= {sample.id: sample for sample in after if sample not in before}
    return tuple(merged.values())


def name_change(before: Sequence[Sample], after: Sequence[Sample]) -> str:
    """Say what happened between two states of a map, such as `1 drawn`."""
    old, new = {s.id for s in before}, {s.id for s in after}
    changed = sum(s.id in old and s not in before for s in after)
    counts = {"drawn": len(new - old), "changed": changed, "deleted": len(old - new)}
    return ", ".join(f"{count} {deed}" for deed, count in counts.items() if count)


def count_classes(samples: Iterable[Sample]) -> dict[str, int]:
    """Count the samples of each class."""
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.class_name] = counts.get(sample.class_name, 0) + 1
    return counts


def to_frame(samples: Sequence[Sample]) -> geopandas.GeoDataFrame:
    """Return the samples as a table with the columns id, class, geometry, author, image, drawn."""
    rows = [_row(sample) for sample in samples]
    table = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
    return geopandas.GeoDataFrame(table, geometry="geometry", crs=CRS)


def _row(sample: Sample) -> tuple[Any, ...]:
    return (
        sample.id,
        sample.class_name,
        shape(sample.geometry),
        sample.author,
        sample.image,
        sample.drawn,
    )


def save_samples(samples: Iterable[Sample], path: Path) -> None:
    """Write the samples as GeoJSON, beside and renamed: a reader finds a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    features = [sample.to_feature() for sample in samples]
    write_json(path, {"type": "FeatureCollection", "features": features})


def load_samples(path: Path) -> tuple[Sample, ...]:
    """Read the samples of a file; none if there is no file yet.

    Raises:
        InputError: the file holds no samples; it is left as it is.
    """
    if not path.exists():
        return ()
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        return tuple(Sample.from_feature(feature) for feature in features)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path.name} holds no samples, rename it or give the map another name"
        ) from error


def local_path(name: str) -> Path:
    """Return where a storage name lies in the user's server; another path is taken as it is.

    What others shared, received/ID/NAME, is fetched from Nextcloud.
    """
    if is_received(name):
        return fetch(name)
    return home_path(name) if _is_storage_name(name) else Path(name).expanduser()


def samples_name(scene: str, name: str | None) -> str:
    """Return the storage name of the file in which the samples are kept.

    Args:
        scene: name of the scene; its folder and file name the file if `name` does not.
        name: a name below home/samples/, or a whole storage name such as team/ice/floes.

    >>> samples_name("shared/demo/scene.tif", None)
    'home/samples/demo-scene.geojson'
    >>> samples_name("shared/demo/scene.tif", "team/ice/floes")
    'team/ice/floes.geojson'
    """
    chosen = name or "-".join(PurePosixPath(scene).with_suffix("").parts[-2:])
    chosen = chosen if _is_storage_name(chosen) else f"home/samples/{chosen}"
    return chosen if chosen.endswith(".geojson") else f"{chosen}.geojson"


def _is_storage_name(name: str) -> bool:
    root, *rest = name.split("/")
    return root in _ROOTS and bool(rest)
