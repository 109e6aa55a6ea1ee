"""Are a scene's spectra such as the model was trained on?

A classifier answers for every pixel, also for spectra it never saw: a model trained on foreign
spectra once called a whole region water (Avramenko et al. 2021). So before a scene is classified,
some thousand of its pixels are compared with what is on the model's card:

- as they are: how many resemble the clusters of the training pixels?
- in every other unit that scenes are delivered in (`landcover.sensors.CONVERSIONS`): do they fit
  much better with an offset taken off, or as reflectance times 10000?
- with bands exchanged: do they fit much better in another order?
- are values cut off at 0?

Only bands together can tell: a bright field in the right unit and a dark one in the wrong unit
agree in each band. What cannot be told is in `benchmarks/README.md`: haze, season and a shift
that makes one known spectrum of another.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.models import Card, load_model
from landcover.operation import CSV, AnyPath, ModelFile, RasterFile
from landcover.rasters import bands_of, open_raster, read_valid, windows_of
from landcover.sensors import CONVERSIONS, Conversion, Measured, measured_by
from landcover.spectra import Fit, Spectra
from landcover.writing import write_csv

Verdict = Literal["ok", "shifted", "foreign"]

BETTER = 1.0
"""By so many nats a pixel another unit must fit better than the scene as it is.

With it no unshifted window of three classes is suspected (benchmarks/radiometry.csv); clouds and
haze come closest.
"""
BETTER_ORDER = 0.25
"""The same for bands exchanged, where unshifted windows fit worse, not better."""
LEAST_KNOWN = 0.2
"""Of the pixels must resemble a cluster. A wrong unit leaves none, a new kind of land many."""
KNOWN_WELL = 0.95
"""Where so many resemble a cluster, no other order is tried, and no advice given."""
LEAST_CUT = 0.01
"""Of the pixels are 0 in a band, if values below were cut off."""
MOST_PIXELS = 1000
_FEW_PIXELS = 250  # enough to choose among many orders of bands
_MOST_BANDS = 24  # of which every pair is tried for an exchange
_WINDOWS = 36
_SIDE = 128


@dataclass(frozen=True)
class BandRadiometry:
    """How one band compares with what the model knows.

    Attributes:
        name: of the model's band.
        offset: to be added after multiplying; None if the scene has no such band.
        gain: by which the scene's values are to be multiplied.
        outside: share of the valid pixels beyond the 1 % and 99 % quantiles of the training
            pixels, widened by a tenth.
    """

    name: str
    offset: float | None
    gain: float | None
    outside: float | None


@dataclass(frozen=True)
class Radiometry:
    """How a scene compares with what a model knows.

    Attributes:
        verdict: ok; shifted, where `bands` say what brings the scene to the model's values; or
            foreign, where they only estimate it, from medians and quartiles.
        bands: one by one, in the model's order.
        known: share of the valid pixels that resemble training pixels.
        advice: one sentence.
    """

    verdict: Verdict
    bands: tuple[BandRadiometry, ...]
    known: float
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Return what a coverage report says of it."""
        return asdict(self)

    @property
    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset per band."""
        gains = np.array([band.gain for band in self.bands], np.float64)
        return gains, np.array([band.offset for band in self.bands], np.float64)


@dataclass(frozen=True)
class RadiometryCheck:
    """What check-radiometry found.

    Attributes:
        verdict: ok, shifted (by what is known and can be corrected) or foreign.
        bands: per band the offset and gain that bring the scene to the model's values, and the
            share of pixels outside the range of the training pixels.
        advice: one sentence.
    """

    verdict: Literal["ok", "shifted", "foreign"]
    bands: CSV
    advice: str


def check_radiometry(
    scene: RasterFile, model: ModelFile, workdir: AnyPath = ""
) -> RadiometryCheck:
    """Tell whether a model can be trusted with a scene, before anything is classified.

    Args:
        scene: GeoTIFF or COG.
        model: a model of train-classifier.
        workdir: folder to write to.

    Raises:
        InputError: the scene or the model cannot be read, or no pixel is valid.
    """
    card = load_model(model).card
    with open_raster(scene) as dataset:
        found = _of_any_bands(dataset, card)
    rows = [(band.name, band.offset, band.gain, band.outside) for band in found.bands]
    target = Path(workdir) / "bands.csv"
    write_csv(target, ("band", "offset", "gain", "outside share"), rows)
    return RadiometryCheck(found.verdict, target, found.advice)


def compare(dataset: DatasetReader, indexes: Sequence[int], card: Card) -> Radiometry:
    """Compare a scene with a model's card.

    Args:
        dataset: the scene.
        indexes: its bands, from 1, in the model's order.
        card: of the model.

    Raises:
        InputError: no pixel is valid.
    """
    return compare_pixels(sample_pixels(dataset, indexes), card, measured_by(dataset))


def match_bands(dataset: DatasetReader, card: Card) -> tuple[list[int], str]:
    """Return the scene's bands, from 1, in the model's order, and how they were matched.

    Raises:
        InputError: a band of the model is missing, or the number differs where none has a name.
    """
    wanted = [band.name for band in card.bands]
    if not any(dataset.descriptions):
        if dataset.count != len(wanted):
            raise InputError(
                f"the scene has {dataset.count} bands without names, the model needs "
                f"{len(wanted)}: {', '.join(wanted)}"
            )
        return list(dataset.indexes), "in file order, the scene names no bands"
    names = [band.name for band in bands_of(dataset)]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"the scene has no band {', '.join(missing)}, it has {', '.join(names)}; the model "
            f"needs {', '.join(wanted)}"
        )
    return [names.index(name) + 1 for name in wanted], "by name"


def sample_pixels(dataset: DatasetReader, indexes: Sequence[int]) -> np.ndarray:
    """Return some thousand valid pixels from all over a scene, float64 (N, bands).

    A scene without overviews would have to be decoded whole to be thinned evenly, so a few
    windows are read instead, and more only where they hold little.

    Raises:
        InputError: no pixel is valid.
    """
    windows = list(windows_of(dataset, _SIDE))
    # evenly over the scene first; then anywhere, until enough valid pixels are found
    order = np.random.default_rng(0).permutation(len(windows))
    spread = np.linspace(0, len(windows) - 1, min(_WINDOWS, len(windows))).round().astype(int)
    parts: list[np.ndarray] = []
    read = 0
    for number, window in enumerate([*spread, *order]):
        if number >= len(spread) and read >= MOST_PIXELS:
            break
        values, valid = read_valid(dataset, windows[window], indexes)
        part = values[:, valid].T
        thinned = part[:: max(1, len(part) // 512)]
        parts.append(thinned.astype(np.float64))
        read += len(thinned)
    pixels = np.concatenate(parts)
    if not len(pixels):
        raise InputError(
            f"{Path(dataset.name).name} holds no valid pixel: is its nodata value right?"
        )
    return pixels


def compare_pixels(pixels: np.ndarray, card: Card, measured: Measured) -> Radiometry:
    """Compare pixels with a model's card.

    Args:
        pixels: float64 (N, bands), in the model's order of bands.
        card: of the model.
        measured: what the scene says of its sensor and units.
    """
    spectra = Spectra.of(
        card.clusters,
        np.array([band.mean for band in card.bands]),
        np.array([band.std for band in card.bands]),
        np.array(card.correlation),
    )
    some = pixels
    if len(pixels) > MOST_PIXELS:
        chosen = np.random.default_rng(0).choice(len(pixels), MOST_PIXELS, replace=False)
        some = pixels[chosen]
    return _Comparison(pixels, some, spectra, card, measured).judge()


@dataclass(frozen=True)
class _Comparison:
    """One comparison: all sampled pixels, some of them for what is dear, and the model."""

    pixels: np.ndarray
    some: np.ndarray
    spectra: Spectra
    card: Card
    measured: Measured

    def judge(self) -> Radiometry:
        as_is = self.spectra.fit(self.some)
        cut = self._cut_off()
        if cut:
            return self._foreign(as_is.known, _advice_on_cut(cut))
        best, fit = self._best_conversion()
        plain = list(range(self.pixels.shape[1]))
        order, of_order = (plain, -np.inf) if as_is.known > KNOWN_WELL else self._best_order()
        gain = fit.likelihood - as_is.likelihood
        if of_order > max(as_is.likelihood + BETTER_ORDER, fit.likelihood):
            return self._foreign(as_is.known, self._advice_on_order(order))
        if gain > BETTER and fit.known >= LEAST_KNOWN:
            bands = self._bands([best.gain] * len(order), [best.offset] * len(order))
            return Radiometry("shifted", bands, fit.known, _advice_on_shift(best))
        if gain > BETTER or as_is.known < LEAST_KNOWN:
            return self._foreign(as_is.known, self._advice_on_foreign())
        ones, zeros = [1.0] * len(order), [0.0] * len(order)
        return Radiometry("ok", self._bands(ones, zeros), as_is.known, _advice_on_ok(as_is.known))

    def _best_conversion(self) -> tuple[Conversion, Fit]:
        fits = [
            (conversion, self.spectra.fit(conversion.apply(self.some), conversion.gain))
            for conversion in self._conversions()
        ]
        return max(fits, key=lambda pair: pair[1].likelihood)

    def _conversions(self) -> list[Conversion]:
        declared = self.measured.conversion_to(self.card.scale, self.card.offset)
        return [*CONVERSIONS, *([] if declared is None else [declared])]

    def _best_order(self) -> tuple[list[int], float]:
        """Exchange the two bands that gain most, again and again, as long as it helps."""
        few = self.some[:_FEW_PIXELS]
        order = list(range(few.shape[1]))
        best, reached = order, self.spectra.fit(few).likelihood
        for _ in order:
            tried = [(self.spectra.fit(few[:, o]).likelihood, o) for o in _exchanges(best)]
            likelihood, exchanged = max(tried, default=(-np.inf, best))
            if likelihood <= reached + BETTER_ORDER / 2:
                break
            best, reached = exchanged, likelihood
        return best, self.spectra.fit(self.some[:, best]).likelihood if best != order else -np.inf

    def _cut_off(self) -> list[tuple[str, float]]:
        """Return name and share of the bands in which values below 0 seem to have become 0.

        They do if 0 is the lowest value, many pixels have it and few come close to it, while the
        training pixels all lie above.
        """
        found = []
        for band, values in zip(self.card.bands, self.pixels.T, strict=True):
            near = 0.01 * (band.quantiles[-1] - band.quantiles[0])
            at_0 = float((values == 0).mean())
            close = float(((values > 0) & (values <= near)).mean())
            piled = at_0 >= LEAST_CUT and at_0 > 2 * close
            if values.min() == 0 < band.quantiles[0] and piled:
                found.append((band.name, at_0))
        return found

    def _bands(
        self, gains: Sequence[float] | np.ndarray, offsets: Sequence[float] | np.ndarray
    ) -> tuple[BandRadiometry, ...]:
        return tuple(
            BandRadiometry(band.name, float(offset), float(gain), _outside(values, band.quantiles))
            for band, values, gain, offset in zip(
                self.card.bands, self.pixels.T, gains, offsets, strict=True
            )
        )

    def _foreign(self, known: float, advice: str) -> Radiometry:
        """Estimate gains and offsets from medians and quartiles, for the reader's judgement."""
        low, middle, high = np.quantile(self.pixels, (0.25, 0.5, 0.75), axis=0)
        learned = np.array([band.quantiles for band in self.card.bands])
        width = high - low
        gains = np.where(width > 0, (learned[:, 4] - learned[:, 2]) / np.where(width, width, 1), 1)
        gains = np.where(gains > 0, gains, 1.0)
        return Radiometry("foreign", self._bands(gains, learned[:, 3] - gains * middle), known,
                          advice)  # fmt: skip

    def _advice_on_order(self, order: list[int]) -> str:
        names = [band.name for band in self.card.bands]
        holds = ", ".join(
            f"{name} seems to hold {names[order.index(i)]}"
            for i, name in enumerate(names)
            if order[i] != i
        )
        return f"bands seem exchanged: {holds}: give the scene's bands their right names"

    def _advice_on_foreign(self) -> str:
        outside = {
            band.name: _outside(values, band.quantiles)
            for band, values in zip(self.card.bands, self.pixels.T, strict=True)
        }
        worst = max(outside, key=lambda name: outside[name])
        differs = self.measured.differs_from(self.card.sensor, self.card.level)
        return (
            f"the model does not know these spectra, least of all in {worst}, where "
            f"{outside[worst]:.0%} of the pixels lie outside what it learned{differs}: use a "
            "scene of the same sensor, processing level and season, or train a model on this one"
        )


def _of_any_bands(dataset: DatasetReader, card: Card) -> Radiometry:
    """Compare a scene whose bands may lack the model's names."""
    try:
        indexes, _ = match_bands(dataset, card)
    except InputError as error:
        nothing = tuple(BandRadiometry(band.name, None, None, None) for band in card.bands)
        if dataset.count != len(card.bands):
            return Radiometry("foreign", nothing, 0.0, str(error))
        in_order = compare(dataset, dataset.indexes, card)
        advice = f"{error}; {_ADVICE_ON_NAMES[in_order.verdict]}"
        return Radiometry("foreign", in_order.bands, in_order.known, advice)
    return compare(dataset, indexes, card)


_ADVICE_ON_NAMES: dict[Verdict, str] = {
    "ok": "taken in file order they fit what it learned: give them the model's names",
    "shifted": "taken in file order they fit after a correction: give them the model's names",
    "foreign": "taken in file order they do not fit what it learned either",
}


def _exchanges(order: list[int]) -> list[list[int]]:
    """Return the order reversed and with any two bands exchanged; of very many, neighbours."""
    bands = len(order)
    near = zip(range(bands - 1), range(1, bands), strict=True)
    pairs = combinations(range(bands), 2) if bands <= _MOST_BANDS else near
    exchanged = [order[::-1]] if bands > 1 else []
    for i, j in pairs:
        other = order.copy()
        other[i], other[j] = order[j], order[i]
        exchanged.append(other)
    return exchanged


def _outside(values: np.ndarray, quantiles: Sequence[float]) -> float:
    low, high = quantiles[0], quantiles[-1]
    margin = 0.1 * (high - low)
    return float(((values < low - margin) | (values > high + margin)).mean())


def _advice_on_ok(known: float) -> str:
    if known > KNOWN_WELL:
        return "the scene's values are such as the model has learned"
    return (
        f"the scene's values are such as the model has learned, but {1 - known:.0%} of its pixels "
        "resemble no training pixel: draw samples there, or expect errors"
    )


def _advice_on_shift(conversion: Conversion) -> str:
    return (
        f"the scene fits what the model learned after {conversion}: take it in the same unit, or "
        "set radiometry to harmonise"
    )


def _advice_on_cut(cut: list[tuple[str, float]]) -> str:
    name, share = max(cut, key=lambda band: band[1])
    return (
        f"values seem cut off at 0 in {len(cut)} bands, most of all in {name} with {share:.0%} of "
        "the pixels: take the scene as it was delivered, or declare 0 as its nodata if such "
        "pixels are missing ones"
    )
