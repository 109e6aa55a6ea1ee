"""A map of what is seen, while somebody draws: a small forest learns after each stroke.

Whatever is asked for is computed in one thread, in the order in which it can be shown: the map
coarse, then fine, then the accuracy in unseen places, then what resembles nothing that was drawn.
A new question of the same view ends what the one before has begun.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np

from landcover.cpus import one_blas_thread
from landcover.errors import LandcoverError
from landcover.inference.shifts.resemblance import Resemblance
from landcover.io.legend import NODATA
from landcover.io.raster import Grid
from landcover.training.cross_validation import accuracy_by_place
from landcover.training.next_places import Told
from sample_map.data.layers import UNKNOWN_BELOW
from sample_map.texts import text
from sample_map.tools.live_scene import Block, LiveScene, Look, stamp_of
from sample_map.tools.preview_picture import Picture, picture_of_codes, picture_of_unknown
from sample_map.tools.small_forest import (
    SEED,
    Question,
    Seen,
    Stale,
    Trained,
    learn,
    need_not_stale,
    seen_in,
    spectra_of,
    told_by,
    train,
)

LOGGER = logging.getLogger(__name__)
COARSE = 4
"""So many times the step of what is shown first."""
_WORTH_IT = 128 * 128
"""Pixels; fewer are shown at once."""
_REMEMBERED = 20
"""Accuracies, so that it is seen how they move."""
_VIEWS = 3
"""Whose previews are kept."""

Send = Callable[[dict[str, Any], Sequence[bytes]], None]


@dataclass(frozen=True)
class Shown:
    """The last preview of a view: what where-next chooses from."""

    question: Question
    trained: Trained
    seen: Seen
    told: Told
    grid: Grid


class Preview:
    """Previews of one map, for all its views."""

    def __init__(self, send: Send) -> None:
        """Begin with nothing.

        Args:
            send: tells a view what there is to see; called in another thread.
        """
        self._send = send
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._stops: dict[str, Event] = {}
        self._shown: dict[str, Shown] = {}
        self._scene: LiveScene | None = None
        self._trained: Trained | None = None
        self._resemblance: tuple[str, Resemblance] | None = None
        self._accuracies: list[dict[str, Any]] = []

    def begin(self, question: Question) -> None:
        """Compute what a view wants to see; what it asked before is left."""
        self.stop(question.view)
        stop = self._stops[question.view] = Event()
        done = self._thread.submit(self._answer, question, stop)
        done.add_done_callback(partial(self._tell_failure, question))

    def stop(self, view: str) -> None:
        """Leave what a view asked for."""
        if view in self._stops:
            self._stops.pop(view).set()

    def shown(self, view: str) -> Shown | None:
        """Return the last preview of a view."""
        return self._shown.get(view)

    def close(self) -> None:
        """End the thread, and close the scene."""
        for stop in self._stops.values():
            stop.set()
        with suppress(RuntimeError):  # it was closed before
            self._thread.submit(self._forget_scene)
        self._thread.shutdown(wait=False)

    def _answer(self, question: Question, stop: Event) -> None:
        """Tell a view all it can be shown, unless it asks anew."""

        def tell(stage: str, picture: Picture | None = None, **content: Any) -> None:
            if stop.is_set():
                raise Stale
            message = {"kind": "preview", "to": question.view, "stage": stage, **content}
            if picture is not None:
                message["bounds"] = picture.bounds
            self._send(message, [] if picture is None else [picture.png])

        try:
            self._show(question, tell, stop)
        except Stale:
            return
        except (LandcoverError, OSError) as error:
            if not stop.is_set():
                self._tell_nothing(question, str(error))

    def _tell_nothing(self, question: Question, why: str) -> None:
        message = {"kind": "preview", "to": question.view, "stage": "none", "why": why}
        self._send(message, [])

    def _tell_failure(self, question: Question, done: Future[None]) -> None:
        """Log what nobody foresaw, which a thread would keep to itself, and say so."""
        if not done.cancelled() and (error := done.exception()) is not None:
            LOGGER.error("a preview failed", exc_info=error)
            self._tell_nothing(
                question, text("the preview failed, the log of the kernel says why")
            )

    def _show(self, question: Question, tell: Callable[..., None], stop: Event) -> None:
        need_not_stale(stop)
        scene = self._opened(question.scene)
        look = scene.look(question.bounds)
        trained = self._learn(question, scene)
        need_not_stale(stop)
        block = scene.read(look)
        picture = partial(picture_of_codes, grid=scene.grid, legend=question.legend)
        step = look.step
        if look.window.width * look.window.height > _WORTH_IT * step**2:
            coarse = seen_in(trained.classifier, block, COARSE * step, stop)
            tell("coarse", picture(coarse.codes, window=look.window, step=coarse.step))
        seen = seen_in(trained.classifier, block, step, stop)
        remarks = [*scene.remarks, *trained.remarks]
        tell(
            "full", picture(seen.codes, window=look.window, step=step),
            remarks=remarks, about=[*_of_look(look)], step=step,
        )  # fmt: skip
        clear = scene.clear(look)
        self._keep(Shown(question, trained, seen, told_by(seen, block, clear), scene.grid))
        tell("ready", clouds=clear is not None)
        tell("accuracy", accuracies=self._measured(trained, question))
        unknown = unknown_in(self._resembling(trained, scene), block, step)
        share = float(unknown.sum() / max(1, (seen.codes != NODATA).sum()))
        tell(
            "unknown", picture_of_unknown(unknown, grid=scene.grid, window=look.window, step=step),
            share=share,
        )  # fmt: skip

    def _keep(self, shown: Shown) -> None:
        """Keep what the latest views show: a page that is loaded again is another view."""
        self._shown.pop(shown.question.view, None)
        self._shown[shown.question.view] = shown
        while len(self._shown) > _VIEWS:
            del self._shown[next(iter(self._shown))]

    def _opened(self, name: str) -> LiveScene:
        if self._scene is None or (self._scene.name, self._scene.stamp) != (name, stamp_of(name)):
            self._forget_scene()
            self._scene = LiveScene(name)
        return self._scene

    def _forget_scene(self) -> None:
        if self._scene is not None:
            self._scene.close()
        self._scene = self._trained = self._resemblance = None
        self._accuracies = []  # of another scene they say nothing

    def _learn(self, question: Question, scene: LiveScene) -> Trained:
        if self._trained is None or self._trained.learned != question.learned:
            self._trained = learn(question, scene)
        return self._trained

    def _resembling(self, trained: Trained, scene: LiveScene) -> Resemblance:
        """Return what tells known pixels from strange ones."""
        if self._resemblance is None or self._resemblance[0] != trained.learned:
            with one_blas_thread():
                found = Resemblance.of(spectra_of(trained.training_set), scene.some_pixels)
            self._resemblance = trained.learned, found
        return self._resemblance[1]

    def _measured(self, trained: Trained, question: Question) -> list[dict[str, Any]]:
        """Return the accuracies after the last strokes, the newest last."""
        if not self._accuracies or self._accuracies[-1]["learned"] != trained.learned:
            found = accuracy_by_place(partial(train, question), trained.training_set, SEED)
            names = {entry.code: entry.name for entry in question.legend.classes}
            found["skipped"] = [names[code] for code in found["skipped"]]
            entry = {"learned": trained.learned, **found}
            self._accuracies = [*self._accuracies, entry][-_REMEMBERED:]
        return self._accuracies


def unknown_in(resemblance: Resemblance, block: Block, step: int) -> np.ndarray:
    """Return which pixels resemble nothing that was drawn, bool (H, W)."""
    values, valid = block.inner(0)
    some, valid = values[:, ::step, ::step], valid[::step, ::step]
    unknown = np.zeros(valid.shape, bool)
    with one_blas_thread():
        unknown[valid] = resemblance.percent(some[:, valid].T) < UNKNOWN_BELOW
    return unknown


def _of_look(look: Look) -> Iterable[str]:
    if look.is_cut:
        yield text("only the middle of the view is previewed: zoom in for the rest")
    elif look.step > 1:
        yield text("not every pixel is previewed: zoom in for all of them")
