"""Models as they fit a scene: which of its bands each takes, and what is known of its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.inference.area import Area
from landcover.inference.averaging import need_alike
from landcover.inference.block import BlockClassifier, Correction
from landcover.inference.radiometry import Radiometry, compare, remark_on
from landcover.io.bands import SceneBands, match_bands
from landcover.io.records.run_record import input_digests
from landcover.models.file import MAX_BYTES, Model, load_model
from landcover.progress import remark

Treatment = Literal["refuse", "harmonise", "ignore"]
_WORSE = ("ok", "shifted", "foreign")


@dataclass(frozen=True)
class Fitted:
    """A model on a scene.

    Attributes:
        name: of the model, for people.
        model: it.
        indexes: the scene's bands, from 1, in the model's order.
        matching: how they were found.
        radiometry: how the scene's values compare with those that the model learned.
        corrected: whether they are corrected.
    """

    name: str
    model: Model
    indexes: list[int]
    matching: str
    radiometry: Radiometry
    corrected: bool

    @property
    def blocks(self) -> BlockClassifier:
        """The model with what it needs to read of the scene."""
        return BlockClassifier(self.model.classifier, self.indexes, self._correction)

    @property
    def _correction(self) -> Correction | None:
        if not self.corrected:
            return None
        return Correction.of(self.radiometry.correction, self.model.card.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return what a coverage report says of it."""
        return {
            "bands": self.matching,
            "radiometry": self.radiometry.to_dict() | {"corrected": self.corrected},
        }


def load_models(paths: Sequence[Path]) -> list[tuple[str, Model]]:
    """Read the models that are to be averaged, each with how it is called.

    Raises:
        ModelError: one is no model of ours.
        InputError: they have other classes or bands than the first, are too large together, or
            one is given twice.
    """
    if len(paths) == 1:
        return [("the model", load_model(paths[0]))]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    if size > MAX_BYTES:
        raise InputError(
            f"the models have {size >> 20} MiB together, at most {MAX_BYTES >> 20} are averaged"
        )
    _need_different(paths)
    named = [f"model {number} ({path.name})" for number, path in enumerate(paths, 1)]
    models = [(name, load_model(path)) for name, path in zip(named, paths, strict=True)]
    need_alike(models)
    return models


def _need_different(paths: Sequence[Path]) -> None:
    digests = input_digests("model", paths)
    for number, digest in enumerate(digests):
        if digest in digests[:number]:
            first = digests.index(digest) + 1
            raise InputError(
                f"model {number + 1} is a copy of model {first}: it would count twice"
            )


def fit(
    name: str,
    model: Model,
    dataset: DatasetReader,
    scene: SceneBands,
    radiometry: Treatment,
    area: Area | None,
) -> Fitted:
    """Find a model's bands in a scene, and compare the scene's values with what it learned.

    Raises:
        InputError: a band is missing, or the scene is refused for its values.
    """
    indexes, matching = match_bands(scene, model.card.bands)
    compared = compare(dataset, indexes, model.card, area)
    corrected = compared.verdict == "shifted" and radiometry == "harmonise"
    if compared.verdict != "ok" and radiometry != "ignore" and not corrected:
        by = "" if name == "the model" else f" with {name}"
        file = Path(dataset.name).name
        raise InputError(f"{file} was not classified{by}: {compared.advice}")
    return Fitted(name, model, indexes, matching, compared, corrected)


def worst_of(models: Sequence[Fitted]) -> Fitted:
    """Return the model that knows the scene's values least, of several the first."""
    return max(models, key=lambda one: _WORSE.index(one.radiometry.verdict))


def remark_on_fit(fitted: Fitted) -> None:
    """Say in what way the scene's values are not those that the model learned, and the like."""
    compared = fitted.radiometry
    if fitted.corrected:
        remark(f"the values were corrected before they were classified: {compared.advice}")
    elif compared.verdict != "ok":
        remark(
            f"the scene is {compared.verdict} to {fitted.name} and was classified all the same: "
            f"{compared.advice}"
        )
    remark_on(compared)
    skipped = fitted.model.card.validation.get("skipped", [])
    if skipped:
        remark(
            f"nothing is known of the accuracy of {', '.join(skipped)}: trained in fewer than two "
            "places, mapped all the same"
        )
