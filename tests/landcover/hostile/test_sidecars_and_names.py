"""Hostile and odd input: sidecars, and names that are more than a name."""

import http.server
import json
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from affine import Affine

from tests.landcover.hostile.desk import (
    PROGRESS,
    a_map,
    a_scene,
    add_sidecars,
    numbered,
    some_labels,
    square,
    write_geojson,
)
from tests.scenes import CRS, TRANSFORM, write_raster


def test_files_beside_a_scene_change_nothing(desk):
    scene, labels = a_scene(desk, names=("B03", "B04")), some_labels(desk)
    add_sidecars(scene)
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    np.testing.assert_array_equal(desk.samples("a")[:, :, 0, 0].T, numbered().reshape(2, 256))
    described = json.loads((desk.out / "samples/samples.json").read_text())
    assert [band["name"] for band in described["bands"]] == ["B03", "B04"]
    assert (described["crs"], described["nodata"]) == (CRS, None)


def test_files_beside_a_map_and_a_label_raster_change_nothing(desk):
    mapped, reference = a_map(desk), a_map(desk, name="reference.tif")
    add_sidecars(mapped)
    add_sidecars(reference)
    result = desk.does("assess-quality", map=mapped, reference=reference)
    assert (result["labelled"], result["accuracy"]) == (256, 1.0)
    assert desk.statistics()["classes"] == ["forest"]
    desk.does("extract-samples", scene=a_scene(desk), labels=reference)
    assert desk.counts() == {"forest": 256, "town": 0, "water": 0}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_world_file_gives_no_place_to_a_scene_without_one(desk):
    scene = a_scene(desk, transform=Affine.identity())
    scene.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500005\n5799995\n")
    desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))


class _Heard(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.heard.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def listener():
    """A server on this machine that remembers who asked it for something."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Heard) as server:
        server.heard = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_name_reaches_no_other_host_and_no_archive(desk, listener):
    labels, scene, mapped = some_labels(desk), a_scene(desk), a_map(desk)
    with zipfile.ZipFile(desk.inputs / "a.zip", "w") as archive:
        archive.write(scene, "scene.tif")
        archive.write(labels, "labels.gpkg")
    names = [
        f"/vsicurl/{listener.url}/x.tif",
        f"{listener.url}/x.tif",
        f"/vsizip/{desk.inputs}/a.zip/scene.tif",
        f"zip://{desk.inputs}/a.zip!scene.tif",
        f"vrt://{scene}",
        f"GTIFF_DIR:1:{scene}",
        f"/vsisubfile/0_{scene.stat().st_size},{scene}",
    ]
    for name in names:
        desk.refuses("extract-samples", scene=name, labels=labels)
        desk.refuses("extract-samples", scene=scene, labels=name)
        desk.refuses("assess-quality", map=name, reference=mapped)
    desk.refuses("extract-samples", scene=scene, labels=f"/vsizip/{desk.inputs}/a.zip/labels.gpkg")
    assert listener.heard == []


@pytest.mark.parametrize("kind", ["link", "url"])
def test_a_coordinate_system_is_not_fetched(desk, listener, kind):
    at = f"{listener.url}/crs"
    crs = {"type": kind, "properties": {"href": at, "url": at, "type": "ogcwkt"}}
    labels = write_geojson(desk.inputs / "l.geojson", ("a", square(105, 52, 106, 53)), crs=crs)
    done = desk.run("extract-samples", scene=a_scene(desk), labels=labels)
    assert listener.heard == []
    assert done.status == 2, done


def test_rasters_and_vectors_that_refer_elsewhere_are_refused(desk, listener):
    scene, labels = a_scene(desk), some_labels(desk)
    raster = (
        "<VRTDataset rasterXSize='16' rasterYSize='16'><SRS>EPSG:32648</SRS><VRTRasterBand "
        f"dataType='UInt16' band='1'><SimpleSource><SourceFilename>{scene}</SourceFilename>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    vector = (
        "<OGRVRTDataSource><OGRVRTLayer name='labels'>"
        f"<SrcDataSource>{labels}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    algorithm = json.dumps(
        {
            "type": "gdal_streamed_alg",
            "command_line": f"gdal vector pipeline ! read {labels} ! write streamed_dataset",
        }
    )
    wms = (
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{listener.url}</ServerUrl></Service></GDAL_WMS>"
    )
    stac = json.dumps({"type": "FeatureCollection", "stac_version": "1.0.0", "features": [
        {"type": "Feature", "geometry": None, "properties": {}, "assets": {
            "x": {"href": f"{listener.url}/x.tif"}}}]})  # fmt: skip
    esri = json.dumps({"geometryType": "esriGeometryPolygon", "fields": [], "features": []})
    for number, content in enumerate((raster, vector, algorithm, wms, stac, esri)):
        for suffix in (".tif", ".geojson", ".gpkg", ".shp"):
            path = desk.inputs / f"evil{number}{suffix}"
            path.write_text(content)
            desk.refuses("extract-samples", scene=path, labels=labels)
            desk.refuses("extract-samples", scene=scene, labels=path)
            desk.refuses("assess-quality", map=path, reference=labels)
            desk.refuses("assess-quality", map=a_map(desk), reference=path)
    assert listener.heard == []


def test_a_job_process_refuses_the_same_in_one_sentence(desk):
    """The one subprocess that keeps `restrict_process`, as every job does."""
    scene, labels = a_scene(desk), some_labels(desk)
    other = some_labels(desk, name="other.geojson")
    (desk.inputs / "evil.geojson").write_text(
        json.dumps(
            {
                "type": "gdal_streamed_alg",
                "command_line": f"gdal vector pipeline ! read {labels} ! write {desk.out}/x.gpkg",
            }
        )
    )
    (desk.inputs / "evil.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
    (desk.inputs / "cut.tif").write_bytes(scene.read_bytes()[:300])
    (desk.inputs / "cut.gpkg").write_bytes(labels.read_bytes()[:20000])
    coarse = write_raster(
        desk.inputs / "coarse.tif",
        np.ones((8, 8), np.uint8),
        transform=TRANSFORM @ Affine.scale(2),
    )
    runs = [
        *([str(scene), str(desk.inputs / name)] for name in ("evil.geojson", "cut.gpkg")),
        *([str(desk.inputs / name), str(labels)] for name in ("evil.tif", "cut.tif")),
        [str(scene), str(coarse)],
        [str(scene), str(labels)],
        [str(scene), str(other)],
    ]
    code = (
        "import json, sys; from landcover.cli import main\n"
        "for scene, labels in json.loads(sys.argv[1]):\n"
        "    status = main(['extract-samples', '--scene', scene, '--labels', labels,"
        " '--overwrite', 'true', '--workdir', sys.argv[2]])\n"
        "    print('status', status, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs), str(desk.out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert [line for line in lines if line.startswith("status")] == ["status 2"] * 4 + [
        "status 0"
    ] * 3
    sentences = [line for line in lines if not line.startswith("status")]
    assert len(sentences) == 4
    assert all(line.startswith("landcover: ") for line in sentences)
    assert sorted(path.name for path in desk.out.iterdir()) == [
        "counts.csv", "run.extract-samples.json", "run.json", "samples",
    ]  # fmt: skip
    assert desk.counts() == {"a": 256}
