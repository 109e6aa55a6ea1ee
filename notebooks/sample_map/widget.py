"""The map in the notebook. The panel in the browser asks, the kernel answers.

The browser shows and draws (`panel/`), the kernel keeps the samples (`drawing`, `store`). They
exchange messages: the browser asks for one thing at a time and gets a reply; what changed is told
to every tab in which the map is open. Twice a second the panel asks whether the kernel and the
storage are there, and says so when they are not.
"""

import getpass
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import anywidget
import geopandas
import ipyleaflet
import ipywidgets
import traitlets

from landcover.errors import InputError, LandcoverError
from landcover.io.legend import Legend
from landcover.io.legend_files import write_legend
from landcover.io.raster import bands_of, open_raster
from landcover.progress import remark
from landcover.storage import fetch, folder_at_home, home_path, name_at_home, readable_at_home
from landcover.storage.remote import is_received
from sample_map import panel
from sample_map.data.features import Sample, count_classes, sum_areas, to_frame
from sample_map.data.history import Step
from sample_map.data.layers import Layer, Layers, background, layers_of
from sample_map.data.legends import Source, legend_from
from sample_map.data.store import Conflict, News, SampleStore, samples_name
from sample_map.data.synchronizer import LOOK, Synchronizer
from sample_map.data.tables import samples_of
from sample_map.texts import catalogs, text
from sample_map.tools.drawing import Drawing
from sample_map.tools.live_loop import LiveLoop
from sample_map.tools.printing import NOT_PRINTED, Sheet, print_sheet
from sample_map.tools.spectra import spectra_of

HEIGHT = "max(400px, min(640px, 100vh - 130px))"  # as in panel.css: what a notebook shows
_WIDTH, _TALLEST = 900, 640  # pixels that a notebook leaves at most; the browser fits the scene
_SILENT = 1.5  # seconds after which a storage that does not answer counts as gone

Message = dict[str, Any]
Verbs = Mapping[Any, Callable[["SampleMap", Message], Message]]
Bounds = tuple[float, float, float, float]


class Panel(anywidget.AnyWidget):
    """The legend and the tools beside the map, and all that is drawn on the map."""

    _esm = panel.script()
    _css = panel.style()
    map_id = traitlets.Unicode().tag(sync=True)
    catalogs = traitlets.Dict().tag(sync=True)
    language = traitlets.Unicode().tag(sync=True)
    begin = traitlets.List().tag(sync=True)


class SampleMap(ipywidgets.HBox):
    """Draw labelled samples over scenes; each finished stroke is saved at once."""

    _synchronizer: Synchronizer | None = None  # ipywidgets closes also what could not be opened

    def __init__(
        self,
        scene: str,
        legend: Source | None = None,
        name: str | None = None,
        bands: Sequence[int | str] | None = None,
        *,
        scenes: Iterable[str] = (),
        basemap: str | None = None,
        language: str | None = None,
    ) -> None:
        """Open scenes and the samples that were drawn before.

        Args:
            scene: storage name (shared/demo/scene.tif) of a GeoTIFF in any CRS.
            legend: colours (#rrggbb) by class name, class names alone, or the storage name of a
                file that brings a legend (samples, map, JSON); not given, the one that was kept
                with the samples, or an empty one, to which the panel and `add` add classes.
            name: where the samples are kept: NAME is home/samples/NAME.geojson; team/GROUP/NAME
                is shared with the group. Not given, it follows from the scene's name.
            bands: for red, green and blue, by number or description; natural colours if not given.
            scenes: storage names of more scenes or maps, shown below the first one.
            basemap: address of a background map with {z}, {x} and {y}; it is switched off when it
                cannot be reached. Without it, nothing comes from the internet.
            language: of the panel, en or ru; not given, the browser's.

        Raises:
            InputError: scene, legend, bands or the file with the samples is invalid.
        """
        shown = _at_home(scene)
        first, *others = [layers_of(shown, bands), *(layers_of(_at_home(s)) for s in scenes)]
        self._layers = Layers()
        for found in (first, *others):
            self._layers.add(found, below=True)
        self._first = shown
        self._file = samples_name(shown, name)
        store = SampleStore(self._file, None if legend is None else legend_from(legend))
        self._drawing = Drawing(store, os.environ.get("JUPYTERHUB_USER") or getpass.getuser())
        self._loop = LiveLoop(self._drawing, lambda told, buffers: self._panel.send(told, buffers))
        self._lock = threading.RLock()
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="slow answers")
        self._map = _map_of(next(layer.bounds for layer in first if layer.bounds))
        if basemap:
            self._layers.add([background(text("Background map"), basemap, "")], below=True)
        self._panel = Panel(
            map_id=self._map.model_id,
            catalogs=catalogs(),
            language=language or "",
            begin=[*self._map.center, self._map.zoom],
        )
        _answer_while_busy(self._panel.comm)
        super().__init__([self._map, self._panel])
        self.add_class("sample-map")
        self._panel.on_msg(self._on_message)
        self._synchronizer = Synchronizer(store, self._tell)

    @property
    def scene(self) -> str:
        """Name of the scene on top: what is drawn is of it."""
        return self._layers.scene() or self._first

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers as they are shown, from the top down."""
        return tuple(self._layers)

    def add_layer(self, name: str, title: str = "") -> None:
        """Lay a scene or a map on top.

        Args:
            name: storage name of a GeoTIFF. With a map (home/jobs/JOB/map.tif) comes what was
                written beside it, hidden: where it is unknown, confidence, probabilities.
            title: instead of scene and date.

        Raises:
            InputError: it cannot be read or has no CRS.
        """
        self._lay(layers_of(_at_home(name), title=title))

    def add_background(
        self, title: str, address: str, attribution: str = "", wms: str = ""
    ) -> None:
        """Lay a background map below all; it comes from elsewhere and each browser asks for it.

        Args:
            title: what people read.
            address: of tiles, with {z}, {x} and {y}, or of a WMS.
            attribution: who is to be named on the map.
            wms: layers to ask a WMS for, with commas; not given, the address is one of tiles.

        Raises:
            InputError: the address is invalid.
        """
        self._lay([background(title, address, attribution, wms)], below=True)

    def remove_layer(self, name: str) -> None:
        """Take what shows a file from the map; the file stays.

        Raises:
            InputError: no layer shows it.
        """
        with self._lock:
            keys = [layer.key for layer in self._layers if name in (layer.name, layer.title)]
            if not keys:
                shown = ", ".join(sorted({layer.name for layer in self._layers}))
                raise InputError(f"there is no layer {name}, there are {shown}")
            for key in keys:
                self._take_away(key)
            self._tell(News())
            self._tell_layers()

    @property
    def file(self) -> str:
        """Storage name of the GeoJSON file, which holds all that was drawn until it is asked for.

        Raises:
            InputError: it cannot be written.
        """
        if self._synchronizer is not None and (trouble := self._synchronizer.fold()):
            raise InputError(f"{self._file} lacks the last strokes, they are kept: {trouble}")
        return self._file

    @property
    def legend(self) -> Legend:
        """The classes, in the order of their codes."""
        return self._drawing.legend

    @property
    def samples(self) -> geopandas.GeoDataFrame:
        """The samples: id, class, geometry, author, image, drawn, version."""
        return to_frame(tuple(self._drawing.store.samples.values()))

    def add(
        self, frame: geopandas.GeoDataFrame, class_field: str = "class", author: str | None = None
    ) -> None:
        """Add samples that were drawn elsewhere, in one step that can be undone.

        Points of `draw_reference_sample` keep their seals, and wait for their class on the map.

        Args:
            frame: polygons or points in any CRS; other columns are kept.
            class_field: the column with the class names, which the legend knows; an empty legend
                takes them over. A feature without one can be given it on the map.
            author: who drew them; you, if not given.

        Raises:
            InputError: there is no such column, no CRS, no such class, a feature without geometry,
                or an outline is invalid. Then nothing is added.
        """
        known = self._drawing.legend
        drawn_by = author or self._drawing.author
        samples, legend = samples_of(frame, class_field, known, drawn_by, self.scene)
        with self._lock:
            self._drawing.add(samples, None if legend is known else legend)
            self._tell(News(samples), {"cell": True})
        if unlabelled := sum(not sample.class_name for sample in samples):
            remark(f"{unlabelled} of {len(samples)} samples have no class yet, give it on the map")

    def save_legend(self, name: str) -> str:
        """Write the legend into a file; return its storage name.

        Args:
            name: in home/ or team/, ending in .csv, .json or .qml; such a file is replaced.

        Raises:
            InputError: there is no class, or the name is invalid.
        """
        if not self.legend.classes:
            raise InputError("there is no class yet")
        return _written(name, lambda path: write_legend(path, self.legend))

    def print_view(
        self,
        name: str,
        title: str = "",
        *,
        bounds: Bounds | None = None,
        samples: bool = True,
        language: str = "en",
    ) -> str:
        """Print the layers that are shown, with legend, scale, date and sources.

        Args:
            name: storage name in home/ or team/, ending in .png or .pdf; such a file is replaced.
            title: above the picture; the topmost layer's title if not given.
            bounds: south, west, north, east in degrees; not given, the topmost layer's.
            samples: whether their outlines are drawn.
            language: of the words on the sheet, en or ru.

        Returns:
            The storage name.

        Raises:
            InputError: no layer is shown, or a file or the name is invalid.
        """
        with self._lock:
            shown = [layer for layer in self._layers if layer.shown]
            drawn = tuple(self._drawing.store.samples.values()) if samples else ()
        whole = bounds or next((layer.bounds for layer in shown if layer.bounds), None)
        if whole is None:
            raise InputError("no layer is shown that could be printed")
        colors = {entry.name: entry.color for entry in self._drawing.store.classes.entries}
        sheet = Sheet(whole, shown, drawn, colors, title.strip(), language)
        return _written(name, lambda path: print_sheet(sheet, path))

    def close(self) -> None:
        """Bring all samples into the file and take the map from the screen."""
        if self._synchronizer is not None:
            self._loop.close()
            self._slow.shutdown()
            self._synchronizer.stop()
            for widget in self.children:
                widget.close()
        super().close()

    def _on_message(self, _: object, message: Message, buffers: Sequence[bytes]) -> None:
        """Answer a browser, at once or, where that takes long, as soon as it is done."""
        assert self._synchronizer is not None
        self._synchronizer.wake()
        if message.get("verb") in self._SLOW:
            self._slow.submit(self._answer, message, self._SLOW)
        else:
            with self._lock:
                self._answer(message, self._VERBS)

    def _answer(self, message: Message, verbs: Verbs) -> None:
        """Do what a browser asks; the reply goes to the view that asked."""
        verb, view = message.get("verb"), message.get("view")
        reply: Message = {"kind": "reply", "to": view, "request": message.get("request")}
        try:
            reply |= verbs[verb](self, message) if verb in verbs else {}
        except (LandcoverError, OSError) as error:
            reply["error"] = str(error)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reply["error"] = f"the kernel did not understand the panel: {error}"
        self._panel.send(reply | {"trouble": self._trouble()})

    def _trouble(self) -> str:
        assert self._synchronizer is not None
        store = self._drawing.store
        if time.monotonic() - store.checked > LOOK + _SILENT and not self._synchronizer.is_asleep:
            return text("the storage does not answer")
        return store.trouble or self._synchronizer.trouble

    def _open(self, message: Message) -> Message:
        """Send everything to a browser that just opened the map."""
        samples = list(self._drawing.store.samples.values())
        areas = sum_areas(samples)
        content = f"[{','.join(sample.line for sample in samples)}]"
        found = [asdict(conflict) for conflict in self._drawing.store.found]
        self._panel.send(
            {"kind": "samples", "to": message["view"], "conflicts": found, **self._summary(areas)},
            buffers=[content.encode()],
        )
        return self._layers_told()

    def _layers_told(self) -> Message:
        removed = self._layers.removed
        return {
            "layers": [layer.to_json() for layer in self._layers],
            "removed": removed and removed.title,
            "view": asdict(self._layers.view),
            "scene": self.scene,
        }

    def _tell_layers(self) -> Message:
        """Tell every view which layers there are, and how they are shown."""
        told = self._layers_told()
        self._panel.send({"kind": "layers", **told})
        return told

    def _summary(self, areas: dict[str, float] | None = None) -> Message:
        store, history = self._drawing.store, self._drawing.history
        samples = list(store.samples.values())
        return {
            "file": self._file,
            "author": self._drawing.author,
            "legend": self._drawing.store.classes.to_list(),
            "counts": count_classes(samples),
            "areas": sum_areas(samples) if areas is None else areas,
            "undo": len(history.done),
            "redo": len(history.undone),
        }

    def _tell(self, news: News, by: Message | None = None) -> None:
        """Tell every view what changed, and by which question or whether by a cell."""
        self._panel.send(
            {
                "kind": "news",
                "by": by and by.get("request"),
                "view": by and by.get("view"),
                "cell": bool(by and by.get("cell")),
                "samples": [sample.to_feature() for sample in news.shown],
                "gone": list(news.gone),
                "conflicts": [asdict(conflict) for conflict in news.conflicts],
                **self._summary(),
            }
        )

    def _told(
        self, message: Message, samples: Iterable[Sample], conflicts: Iterable[Conflict] = ()
    ) -> Message:
        shown = tuple(samples)
        self._tell(News(shown, (), tuple(conflicts)), message)
        return {"selected": shown[0].id}

    def _draw(self, message: Message) -> Message:
        sample = self._drawing.draw(message["class"], message["geometry"], message["image"])
        return self._told(message, [sample])

    def _grow(self, message: Message) -> Message:
        place = (float(message["longitude"]), float(message["latitude"]))
        tolerance = float(message["tolerance"])
        if message.get("id"):
            grown = self._drawing.grow_again(message["id"], message["version"], place, tolerance)
        else:
            grown = self._drawing.grow(message["class"], place, message["image"], tolerance)
        region = {"pixels": grown.region.pixels, "cut": grown.region.reaches_limit}
        return self._told(message, [grown.sample]) | {"region": region}

    def _reshape(self, message: Message) -> Message:
        sample, conflict = self._drawing.reshape(
            message["id"], message["version"], message["geometry"]
        )
        return self._told(message, [sample], [conflict] if conflict else [])

    def _reclass(self, message: Message) -> Message:
        sample = self._drawing.reclass(message["id"], message["version"], message["class"])
        return self._told(message, [sample])

    def _split(self, message: Message) -> Message:
        pieces = self._drawing.split(message["id"], message["version"], message["geometry"])
        return self._told(message, pieces)

    def _cut(self, message: Message) -> Message:
        sample = self._drawing.cut(message["id"], message["version"], message["geometry"])
        return self._told(message, [sample])

    def _settle(self, message: Message) -> Message:
        return self._told(message, [self._drawing.settle(message["id"], message["version"])])

    def _delete(self, message: Message) -> Message:
        self._drawing.delete(message["id"], message["version"])
        self._tell(News((), (message["id"],)), message)
        return {}

    def _undo(self, message: Message) -> Message:
        return self._stepped(message, self._drawing.undo(message.get("id")))

    def _redo(self, message: Message) -> Message:
        return self._stepped(message, self._drawing.redo(message.get("id")))

    def _stepped(self, message: Message, touched: Iterable[str]) -> Message:
        """Tell of what a step touched: samples, or a layer that went or came back."""
        now = self._drawing.store.samples
        touched = tuple(touched)
        if (ids := self._layers.swap(touched)) != touched:
            self._tell_layers()
        shown = tuple(now[id] for id in ids if id in now)
        self._tell(News(shown, tuple(id for id in ids if id not in now)), message)
        return {"selected": shown[0].id if shown else None}

    def _add_class(self, message: Message) -> Message:
        self._drawing.add_class(message["name"])
        self._tell(News(), message)
        return {"class": message["name"].strip()}

    def _edit_class(self, message: Message) -> Message:
        """Change one class and the samples that follow."""
        name, to, drawing = message["name"], message.get("to"), self._drawing
        touched: tuple[Sample, ...] = ()
        match message["what"]:
            case "rename":
                touched = drawing.rename_class(name, str(to))
            case "merge":
                touched = drawing.merge_class(name, str(to))
            case "delete":
                touched = drawing.delete_class(name)
            case "color":
                drawing.color_class(name, str(to))
            case "group":
                drawing.group_class(name, str(to))
            case "move":
                drawing.move_class(name, int(str(to)))
        self._stepped(message, [sample.id for sample in touched])
        return {"touched": len(touched)}

    def _import_legend(self, message: Message) -> Message:
        self._drawing.take_classes(legend_from(message["name"]))
        self._tell(News(), message)
        return {}

    def _export_legend(self, message: Message) -> Message:
        return {"name": self.save_legend(message["name"])}

    def _fold(self, message: Message) -> Message:
        return {"file": self.file}

    def _print(self, message: Message) -> Message:
        south, west, north, east = (float(degrees) for degrees in message["bounds"])
        name = self.print_view(
            message["name"], message["title"], bounds=(south, west, north, east),
            samples=bool(message["samples"]), language=message["language"],
        )  # fmt: skip
        has_background = any(one.shown and one.kind == "background" for one in self._layers)
        return {"name": name, "left_out": NOT_PRINTED if has_background else ""}

    def _lay(self, found: Sequence[Layer], below: bool = False) -> Message:
        with self._lock:
            self._layers.add(found, below)
            return self._tell_layers()

    def _add_layer(self, message: Message) -> Message:
        return self._lay(layers_of(_at_home(message["name"])))

    def _add_background(self, message: Message) -> Message:
        told = [str(message[key]) for key in ("title", "address", "attribution", "wms")]
        return self._lay([background(*told)], below=True)

    def _change_layer(self, message: Message) -> Message:
        self._layers.change(message["key"], dict(message["changes"]))
        return self._tell_layers()

    def _move_layer(self, message: Message) -> Message:
        self._layers.move(message["key"], int(message["place"]))
        return self._tell_layers()

    def _change_view(self, message: Message) -> Message:
        self._layers.view = self._layers.view.changed(dict(message["changes"]))
        return self._tell_layers()

    def _remove_layer(self, message: Message) -> Message:
        self._take_away(message["key"])
        self._tell(News(), message)
        return self._tell_layers()

    def _take_away(self, key: str) -> None:
        """Remove a layer, in a step that can be undone."""
        self._layers.remove(key)
        self._drawing.history.add(Step(layer=key))

    def _restore_layer(self, message: Message) -> Message:
        """Undo the step that removed a layer last."""
        if (layer := self._layers.removed) is None:
            raise InputError("no layer was removed")
        self._stepped(message, self._drawing.undo(layer.key))
        return self._layers_told()

    def _preview(self, message: Message) -> Message:
        """Say what a region would be, and keep nothing."""
        place = (float(message["longitude"]), float(message["latitude"]))
        region = self._drawing.region(place, message["image"], float(message["tolerance"]))
        told = {"pixels": region.pixels, "cut": region.reaches_limit}
        return {"region": told, "geometry": region.geometry}

    def _spectra(self, message: Message) -> Message:
        with self._lock:
            samples = tuple(self._drawing.store.samples.values())
        with readable_at_home(message["image"]) as path, open_raster(path) as dataset:
            found = spectra_of(dataset, samples)
            bands = [asdict(band) for band in bands_of(dataset)]
        return {"bands": bands, "spectra": {name: asdict(s) for name, s in found.items()}}

    _VERBS: ClassVar[Verbs] = {
        "ping": lambda self, message: {},
        "open": _open,
        "draw": _draw,
        "grow": _grow,
        "reshape": _reshape,
        "reclass": _reclass,
        "split": _split,
        "cut": _cut,
        "settle": _settle,
        "delete": _delete,
        "undo": _undo,
        "redo": _redo,
        "add_class": _add_class,
        "edit_class": _edit_class,
        "import_legend": _import_legend,
        "export_legend": _export_legend,
        "add_background": _add_background,
        "change_layer": _change_layer,
        "change_view": _change_view,
        "move_layer": _move_layer,
        "remove_layer": _remove_layer,
        "restore_layer": _restore_layer,
        "preview": _preview,
        "see": lambda self, message: self._loop.see(message, self.scene),
        "leave": lambda self, message: self._loop.leave(message),
        "next_place": lambda self, message: self._loop.next_place(message),
    }
    # these read files or write them: meanwhile the others are answered
    _SLOW: ClassVar[Verbs] = {
        "fold": _fold,
        "print": _print,
        "add_layer": _add_layer,
        "spectra": _spectra,
    }


def _written(name: str, write: Callable[[Path], None]) -> str:
    """Write a file of the caller's; return its storage name."""
    name = name_at_home(name)
    home_path(name)
    with folder_at_home(str(PurePosixPath(name).parent), make=True) as folder:
        write(folder / PurePosixPath(name).name)
    return name


def _at_home(scene: str) -> str:
    """Return the storage name of a scene; what lies at Nextcloud alone is fetched first."""
    name = scene if is_received(scene) else name_at_home(scene)
    return name_at_home(str(fetch(name)))


def _answer_while_busy(comm: Any) -> None:
    """Let the browser be heard while a cell runs.

    JupyterLab sends what a widget says to a shell of its own beside the one that runs cells;
    ipykernel from 7.4 on moves it to the shell that the widget itself spoke from last.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, sent_to: sent_to


def _map_of(bounds: Bounds) -> ipyleaflet.Map:
    south, west, north, east = bounds
    shown = ipyleaflet.Map(
        layers=(),
        center=((south + north) / 2, (west + east) / 2),
        zoom=_zoom_to(bounds),
        zoom_snap=1,
        max_zoom=22,
        scroll_wheel_zoom=True,
        double_click_zoom=False,
        attribution_control=False,
        layout={"height": HEIGHT, "flex": "1 1 auto", "min_width": "300px"},
    )
    shown.add(ipyleaflet.ScaleControl(position="bottomleft", imperial=False))
    return shown


def _zoom_to(bounds: Bounds) -> int:
    """Return the zoom at which a part of the Earth fits; at zoom 0 the world has 256 pixels."""
    south, west, north, east = bounds
    width = max(east - west, 1e-6) / 360
    height = max(_mercator(north) - _mercator(south), 1e-6) / (2 * math.pi)
    fitting = min(_WIDTH / width, _TALLEST / height) / 256
    return min(22, math.floor(math.log2(fitting)))


def _mercator(latitude: float) -> float:
    return math.asinh(math.tan(math.radians(max(-85.0, min(85.0, latitude)))))
