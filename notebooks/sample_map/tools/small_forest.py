"""A small forest that learns from what is drawn, and what it tells of what is seen.

Trees, classes and spectra are those of train-classifier, classify-scene and check-radiometry.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Event

import numpy as np
import shapely

from landcover.errors import InputError
from landcover.io.legend import NODATA, Legend
from landcover.models.classifier import Classifier
from landcover.models.forest.windowed import UNUSED, USED
from landcover.models.methods.random_forest import Options, fit
from landcover.models.spectra import Spectra
from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.samples.labels import Labels, labels_of_features
from landcover.training.live import label_pixels
from landcover.training.next_places import Told
from landcover.training.train import places_apart, spectra_on_card
from sample_map.data.features import CRS, Sample
from sample_map.texts import text
from sample_map.tools.live_scene import Block, Bounds, LiveScene, Look

TREES = 50
SEED = 0
_STRIP = 64
"""Rows that are classified between two looks whether a new stroke has come."""


@dataclass(frozen=True)
class Question:
    """What a view wants to see.

    Attributes:
        view: who asks.
        scene: storage name.
        bounds: of what the map shows.
        windows: whether the forest looks at the windows around pixels, too.
        samples: what is drawn.
        legend: its classes.
    """

    view: str
    scene: str
    bounds: Bounds
    windows: bool
    samples: tuple[Sample, ...]
    legend: Legend

    @cached_property
    def learned(self) -> str:
        """What a forest follows from: with the same it need not be trained again."""
        digest = hashlib.sha256(f"{self.scene} {self.windows}".encode())
        digest.update(repr(self.legend.to_list()).encode())
        for sample in self.samples:
            digest.update(f"{sample.id} {sample.class_name} ".encode())
            digest.update(shapely.to_wkb(sample.shape))
        return digest.hexdigest()


@dataclass(frozen=True)
class Trained:
    """A small forest.

    Attributes:
        learned: what it follows from.
        classifier: it.
        labelled: what it learned from.
        at: int (M, 2), row and column of the labelled pixels.
        remarks: what is to be known of it.
    """

    learned: str
    classifier: Classifier
    training_set: TrainingSet
    at: np.ndarray
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What a forest tells of a look.

    Attributes:
        look: of the scene.
        codes: uint8 (H, W), of every so-maniest pixel; 255 where invalid.
        percent: uint8 (classes, H, W).
    """

    look: Look
    codes: np.ndarray
    percent: np.ndarray
    step: int

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return row and column (N, 2) in the scene."""
        corner = (self.look.window.row_off, self.look.window.col_off)
        return np.stack([rows, columns], axis=1) * self.step + corner


class Stale(Exception):
    """A new stroke has come."""


def learn(question: Question, scene: LiveScene) -> Trained:
    """Train a small forest on what is drawn.

    Raises:
        InputError: it is of fewer than two classes, or lies outside the scene.
    """
    with collecting_notes(lambda sentence: None) as notes:
        labels = labels_on(question, scene)
        labelled = label_pixels(scene.known, labels, scene.bands, question.windows)
        found = labelled.training_set
        if len(np.unique(found.codes)) < 2:
            raise InputError(text("draw places of two classes, then a preview can be shown"))
        apart = replace(found, places=places_apart(labelled).places)
        classifier = train(question, found)
    (region,) = labelled.ground.regions
    assert region.at is not None
    at = np.floor(region.at[:, ::-1]).astype(np.int64)
    return Trained(question.learned, classifier, apart, at, tuple(notes.remarks))


def train(question: Question, training_set: TrainingSet) -> Classifier:
    """Return a forest that learned from labelled pixels."""
    options = Options(trees=TREES, windows=USED if question.windows else UNUSED)
    return fit(training_set, options, SEED)


def labels_on(question: Question, scene: LiveScene) -> Labels:
    """Return what is drawn, on the grid of a scene.

    Raises:
        InputError: nothing has a class.
    """
    drawn = [one for one in question.samples if one.class_name in question.legend.names]
    if len({one.class_name for one in drawn}) < 2:
        raise InputError(text("draw places of two classes, then a preview can be shown"))
    shapes = np.array([one.shape for one in drawn], dtype=object)
    names = [one.class_name for one in drawn]
    return labels_of_features(
        shapes, names, CRS, scene.grid, "what is drawn", question.legend, partly=True
    )


def seen_in(classifier: Classifier, block: Block, step: int, stop: Event) -> Seen:
    """Classify every so-maniest pixel of a block.

    Raises:
        Stale: a new stroke came meanwhile.
    """
    halo = classifier.halo
    values, valid = block.inner(halo)
    parts = []
    rows = _STRIP // step * step or step
    for top in range(0, block.look.window.height, rows):
        need_not_stale(stop)
        strip = slice(top, top + rows + 2 * halo)
        parts.append(classifier.classify_every(values[:, strip], valid[strip], step))
    codes, _, percent = (np.concatenate(part, axis=-2) for part in zip(*parts, strict=True))
    return Seen(block.look, codes, percent, step)


def told_by(seen: Seen, block: Block, clear: np.ndarray | None) -> Told:
    """Return the pixels that somebody can be asked about: valid, clear, not at the very edge."""
    usable = seen.codes != NODATA
    if clear is not None:
        usable &= clear[:: seen.step, :: seen.step]
    rows, columns = np.nonzero(usable)

    def values(which: np.ndarray) -> np.ndarray:
        thinned = block.inner(0)[0][:, :: seen.step, :: seen.step]
        return thinned[:, rows[which], columns[which]].T

    return Told(seen.at(rows, columns), seen.codes[usable], seen.percent[:, usable], values)


def spectra_of(training_set: TrainingSet) -> Spectra:
    """Return the spectra that a forest has learned, as a model's card holds them."""
    known = spectra_on_card(training_set, SEED)
    mean, std = np.array([(band.mean, band.std) for band in known["bands"]]).T
    return Spectra.of(known["clusters"], mean, std, np.array(known["correlation"]))


def need_not_stale(stop: Event) -> None:
    """Go on only while no new stroke has come.

    Raises:
        Stale: one has.
    """
    if stop.is_set():
        raise Stale
