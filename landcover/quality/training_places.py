"""How much of a reference lies where the map's model was trained.

A map is usually right more often there than elsewhere, so its figures would be too good.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from landcover.io.legend import Legend
from landcover.io.raster import Grid
from landcover.models.footprint import footprints_of_map
from landcover.quality.confusion import Confusion, statistics_of
from landcover.quality.report import Note, percent
from landcover.samples.labels import Polygons, turned

TRAINED_FROM = 0.01
"""Share of compared pixels from which a reference counts as one that trained the map."""
FEWEST_OUTSIDE = 50
"""Pixels that a figure of their own needs."""


@dataclass(frozen=True)
class TrainingPlaces:
    """Where a map's models were trained, on the map's grid.

    Attributes:
        cells: polygons of one code.
        side: of the largest cell, in pixels of the training scene.
        complete: whether that is known of all training pixels.
    """

    cells: Polygons
    side: int
    complete: bool

    @classmethod
    def of_map(cls, dataset: DatasetReader) -> "TrainingPlaces | None":
        """Read them from a map; None if it does not say.

        Raises:
            InputError: it says so in an invalid form, or in a CRS that cannot become its own.
        """
        footprints = footprints_of_map(dataset)
        if not footprints:
            return None
        grid = Grid.of(dataset)
        outlines = np.concatenate([each.outlines(grid.crs) for each in footprints])
        if grid.crs.is_geographic:
            outlines = turned(outlines, grid)
        cells = Polygons(Legend(()), grid, outlines, np.ones(len(outlines), np.uint8))
        side = max(each.cell for each in footprints)
        return cls(cells, side, all(each.complete for each in footprints))


@dataclass(frozen=True)
class InsideTraining:
    """How much of the compared pixels lies in the training places.

    Attributes:
        places: None if it is not known where the map's model was trained.
        share: of the compared pixels inside; None if that is not known.
        outside: the other ones.
        drawn: whether the reference was drawn from the finished map, which it cannot have trained.
    """

    places: TrainingPlaces | None
    share: float | None
    outside: Confusion
    drawn: bool

    @classmethod
    def of(
        cls,
        places: TrainingPlaces | None,
        table: np.ndarray,
        inside: np.ndarray,
        legend: Legend,
        drawn: bool,
    ) -> "InsideTraining":
        """Divide compared pixels.

        Args:
            places: where the map's model was trained.
            table: (256, 256), compared pixels by code of reference and map, at least one.
            inside: those of them in the training places.
            legend: what the codes mean.
            drawn: whether the reference was drawn from the finished map.
        """
        share = None if places is None else float(inside.sum() / table.sum())
        return cls(places, share, Confusion.of(table - inside, legend), drawn)

    @property
    def is_trained_on(self) -> bool | None:
        """Whether the reference trained the map; None if that is not known."""
        return None if self.share is None else self.share >= TRAINED_FROM

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; `outside_training` is null where it says nothing of its own."""
        return {
            "inside_training": self.share,
            "trained_on_reference": self.is_trained_on,
            "outside_training": self._outside() if self.share else None,
        }

    def notes(self, map: str) -> tuple[Note, ...]:
        """Return what the reader must know before all figures.

        Args:
            map: name of its file.
        """
        if self.places is None:
            return () if self.drawn else (_unknown(map),)
        if not self.is_trained_on:
            return ()
        at_least = ("", "") if self.places.complete else ("At least ", "Не меньше ")
        side = self.places.side
        meaning = "so the figures may be too good", "поэтому показатели могут быть завышены"
        if self.drawn:
            meaning = (
                "as part of the map does: the estimates hold for the map as a whole, elsewhere it "
                "may be right less often",
                "как и часть карты: оценки верны для карты в целом, в других местах она может "
                "быть верна реже",
            )
        en, ru = self._words()
        return (
            Note(
                f"{at_least[0]}{percent(self.share)} of the compared pixels lie where the map's "
                f"model was trained (to within {side} pixels), {meaning[0]}.{en}",
                f"{at_least[1]}{percent(self.share)} сравнённых пикселей лежат там, где обучалась "
                f"модель карты (с точностью до {side} пикселей), {meaning[1]}.{ru}",
                leads=True,
            ),
        )

    def _outside(self) -> dict[str, Any] | None:
        if self.outside.total < FEWEST_OUTSIDE:
            return None
        return {
            "labelled": self.outside.total,
            "accuracy": self.outside.accuracy,
            "kappa": statistics_of(self.outside)["overall"]["Kappa"],
        }

    def _words(self) -> tuple[str, str]:
        """Return the figure outside, after a blank; "" where the sample is too small."""
        found, total = self._outside(), self.outside.total
        if found is None and self.drawn:
            return "", ""
        if not total:
            return (
                " No compared pixel lies elsewhere: assess with a reference from other places.",
                " В других местах нет ни одного сравнённого пикселя: возьмите эталон из других "
                "мест.",
            )
        if found is None:
            return (
                f" Only {total:,} compared pixels lie elsewhere, too few for a figure of their "
                f"own ({FEWEST_OUTSIDE} are needed): assess with a reference from other places.",
                f" В других местах лежат только {total:,} сравнённых пикселей, этого мало "
                f"для отдельного показателя (нужно {FEWEST_OUTSIDE}): возьмите эталон из "
                "других мест.",
            )
        kappa = "" if found["kappa"] is None else f"{found['kappa']:.3f}"
        return (
            f" Of the {total:,} other pixels {percent(found['accuracy'])} are right"
            + (f" (kappa {kappa})." if kappa else "."),
            f" Из остальных {total:,} пикселей верно {percent(found['accuracy'])}"
            + (f" (каппа {kappa})." if kappa else "."),
        )


def _unknown(map: str) -> Note:
    return Note(
        f"It is not known whether this reference trained the map: {map} does not say where its "
        "model was trained. If it did, the figures are too good.",
        f"Неизвестно, обучалась ли карта на этом эталоне: в {map} не сказано, где обучалась её "
        "модель. Если да, показатели завышены.",
        leads=True,
    )
