"""Hostile and odd input: samples folders."""

import json
import os
import pickle
import shutil
from io import BytesIO

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.landcover.hostile.desk import add_sidecars, fresh_desk, npy_header, some_samples
from tests.scenes import write_raster

GOOD = np.ones((4, 2, 1, 1), np.float32)


def raw_samples(desk, content):
    folder = some_samples(desk, odd=GOOD)
    (folder / "odd/x.npy").write_bytes(content)
    return folder


def saved(array, **how):
    file = BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def zipped(array):
    file = BytesIO()
    np.savez(file, array)
    return file.getvalue()


HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x09",
        pickle.dumps([1, 2]),
        saved(np.array([{"a": 1}], object), allow_pickle=True),
        saved(np.empty((4, 2, 1, 1), object), allow_pickle=True),
        zipped(GOOD),
        saved(np.asfortranarray(np.ones((4, 2, 3, 3), np.float32))),
        saved(np.ones((4, 2, 1, 1), bool)),
        saved(np.ones((4, 2, 1, 1), complex)),
        saved(np.full((4, 2, 1, 1), "x")),
        saved(np.zeros((4, 2, 1, 1), "datetime64[s]")),
        saved(np.zeros((4, 2, 1, 1), [("a", "f4"), ("b", "f4")])),
        saved(np.zeros((4, 2, 1, 1), "V4")),
        saved(np.ones(())),
        saved(np.ones((4, 2))),
        saved(np.ones((4, 2, 1, 1, 1))),
        saved(np.ones((4, 3, 1, 1))),
        saved(np.ones((4, 0, 1, 1))),
        saved(np.ones((4, 2, 0, 0))),
        saved(np.full((4, 2, 3, 3), np.nan)),
        saved(GOOD)[:-1],
        saved(GOOD) + b"\0",
        npy_header(HEADER.format("'<f4'", False, (10**15, 2, 1, 1))),
        npy_header(HEADER.format("'<f4'", False, (2**62, 2**62, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, (-4, -2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, (-1, 2, 1, 1))),
        npy_header(HEADER.format("'<f4'", False, "(4.0, 2, 1, 1)")) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, [4, 2, 1, 1])) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, f"({'9' * 5000}, 2, 1, 1)")),
        npy_header(HEADER.format("'O'", False, (4, 2, 1, 1))) + bytes(64),
        npy_header(HEADER.format("'|V99999999999'", False, (4, 2, 1, 1))),
        npy_header(HEADER.format("'rubbish'", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("7", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("[('a', [('b', 'O')])]", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", "'x'", (4, 2, 1, 1))) + bytes(32),
        npy_header("{}"),
        npy_header("[]"),
        npy_header("1 +"),
        npy_header("{'a': ("),
        npy_header('{"""'),
        npy_header("__import__('os').system('touch evil')"),
        npy_header("(" * 3000 + ")" * 3000),
        npy_header("-" * 9000 + "1"),
        npy_header("{" + "[" * 90 + "]" * 90 + "}"),
        npy_header("x" * 60000),
        npy_header("\xff\0\n"),
    ],
)  # fmt: skip
def test_a_container_that_is_none_is_refused(desk, content):
    folder = raw_samples(desk, content)
    assert "odd" in desk.refuses("balance-samples", samples=folder)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, 127), st.integers(1, 255), min_size=1, max_size=3))
def test_a_container_with_flipped_bytes_is_read_or_refused_in_one_sentence(flips):
    with fresh_desk() as desk:
        spoilt = bytearray(saved(GOOD))
        for at, flip in flips.items():
            spoilt[at] ^= flip
        desk.does_or_refuses("balance-samples", samples=raw_samples(desk, spoilt))


def test_containers_of_another_byte_order_mean_the_same(desk):
    numbers = np.random.default_rng(3).integers(0, 4000, (40, 2, 1, 1))
    kept = []
    for dtype in ("<u2", ">u2"):
        with fresh_desk() as one:
            folder = some_samples(one, a=numbers.astype(dtype))
            one.does("balance-samples", samples=folder, threshold=5)
            kept.append((one.out / "selection.csv").read_bytes())
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "values",
    [np.array([1e300, -1e300, 1e308, 0, 5e-324]), np.array([np.inf, 1, 2, 3, 4]),
     np.full(5, np.finfo("f8").max)],
)  # fmt: skip
def test_numbers_of_any_size_are_balanced_or_refused(desk, values):
    folder = some_samples(desk, odd=values.reshape(5, 1, 1, 1).repeat(2, 1))
    desk.does_or_refuses("balance-samples", samples=folder)


@pytest.mark.parametrize("suffix", [".origin.npy", ".mask.npy", ".place.npy", ".valid.npy"])
@pytest.mark.parametrize(
    "content",
    [b"", b"rubbish", saved(np.ones((1, 1))), saved(np.empty((5, 3), object), allow_pickle=True),
     npy_header(HEADER.format("'<i4'", False, (10**15, 3)))],
)  # fmt: skip
def test_a_companion_that_does_not_do_is_never_trusted(desk, suffix, content):
    folder = some_samples(desk)
    (folder / f"good/x{suffix}").write_bytes(content)
    result = desk.does_or_refuses("balance-samples", samples=folder)  # balancing needs none
    assert result is None or result["before"] == 5


def test_links_out_of_a_samples_folder_are_refused(desk):
    secret = desk.inputs / "secret.npy"
    np.save(secret, GOOD)
    chip = write_raster(desk.inputs / "secret.tif", np.ones((2, 1, 1), np.float32))
    (desk.inputs / "secret.json").write_text('{"version": 1}')
    (desk.inputs / "class").mkdir()
    np.save(desk.inputs / "class/x.npy", GOOD)
    for place, target in (
        ("good/z.npy", secret),
        ("good/z.npy", "../../secret.npy"),
        ("good/z.npy", "/proc/self/environ"),
        ("good/z.tif", chip),
        ("good/z.tif", "../../secret.tif"),
        ("samples.json", desk.inputs / "secret.json"),
        ("good/z.npy", "z.npy"),
    ):
        folder = some_samples(desk)
        (folder / place).symlink_to(target)
        desk.refuses("balance-samples", samples=folder)
        shutil.rmtree(folder)
    folder = some_samples(desk)
    (folder / "linked").symlink_to(desk.inputs / "class", target_is_directory=True)
    result = desk.does_or_refuses("balance-samples", samples=folder)
    assert result is None or result["before"] == 5
    (folder / "samples.json").write_text('{"version": 1, "classes": {"good": 1, "linked": 2}}')
    desk.refuses("balance-samples", samples=folder)


def test_a_dead_link_is_refused(desk):
    for name in ("z.npy", "z.tif"):
        folder = some_samples(desk)
        (folder / "good" / name).symlink_to("absent")
        desk.refuses("balance-samples", samples=folder)
        shutil.rmtree(folder)


def test_a_link_that_stays_in_the_folder_is_read(desk):
    folder = some_samples(desk)
    (folder / "good/y.npy").symlink_to("x.npy")
    assert desk.does("balance-samples", samples=folder)["before"] == 10


@pytest.mark.parametrize("name", ["z.npy", "z.tif", "../samples.json"])
def test_a_pipe_or_a_folder_called_like_a_file_is_refused(desk, name):
    folder = some_samples(desk)
    os.mkfifo(folder / "good" / name)
    desk.refuses("balance-samples", samples=folder)
    (folder / "good" / name).unlink()
    (folder / "good" / name).mkdir()
    desk.refuses("balance-samples", samples=folder)


def test_a_chip_file_that_refers_elsewhere_is_refused(desk):
    chip = write_raster(desk.inputs / "secret.tif", np.ones((2, 1, 1), np.float32))
    folder = some_samples(desk)
    (folder / "good/z.tif").write_text(
        "<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand dataType='Float32' band='1'>"
        f"<SimpleSource><SourceFilename>{chip}</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)
    (folder / "good/z.tif").write_bytes(chip.read_bytes()[:100])
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)
    (folder / "good/z.tif").write_bytes(
        write_raster(desk.inputs / "c.tif", np.ones((2, 1, 1), np.complex64)).read_bytes()
    )
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)


def test_files_beside_a_chip_file_change_nothing(desk):
    folder = some_samples(desk)
    chip = write_raster(folder / "good/z.tif", np.ones((2, 16, 16), np.float32))
    add_sidecars(chip)
    assert desk.does("balance-samples", samples=folder)["before"] == 6


def test_nodata_that_a_chip_cannot_hold_does_no_harm(desk):
    folder = some_samples(desk)
    values = np.array([[[1, 0]], [[2, 2]]], np.uint8)
    write_raster(folder / "good/z.tif", values, nodata=0)
    np.save(folder / "good/y.npy", values[None])
    for nodata in (-9999, 1e40, 0.5):
        (folder / "samples.json").write_text(json.dumps({"version": 1, "nodata": nodata}))
        assert desk.does("balance-samples", samples=folder)["before"] == 7


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_chip_file_may_come_without_a_place(desk):
    folder = some_samples(desk)
    bare = {"crs": None, "transform": Affine.identity()}
    write_raster(folder / "good/z.tif", np.ones((2, 1, 1), np.float32), **bare)
    assert desk.does("balance-samples", samples=folder)["before"] == 6


DESCRIBED = {
    "version": 1,
    "legend": [{"code": 1, "name": "good", "color": "#332288"}],
    "classes": {"good": 1},
    "bands": [{"name": "b1", "wavelength": None}, {"name": "b2", "wavelength": 560}],
    "nodata": None,
    "chip_size": 1,
}


def test_a_description_that_does_is_believed(desk):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED))
    assert desk.does("balance-samples", samples=folder)["before"] == 5


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": "1"}, {"version": None},
        {"classes": []}, {"classes": ["good"]}, {"classes": "good"}, {"classes": None},
        {"classes": {"good": 0}}, {"classes": {"good": 255}}, {"classes": {"good": -1}},
        {"classes": {"good": True}}, {"classes": {"good": "one"}}, {"classes": {"good": 1.5}},
        {"classes": {"good": None}}, {"classes": {"good": [1]}}, {"classes": {"good": 10**400}},
        {"classes": {"good": float("inf")}}, {"classes": {"good": float("nan")}},
        {"classes": {"absent": 1}}, {"classes": {"../good": 1}}, {"classes": {"": 1}},
        {"classes": {"good": 2}}, {"classes": {}},
        {"legend": {}}, {"legend": 5}, {"legend": "good"}, {"legend": [1]}, {"legend": [[]]},
        {"legend": [{}]}, {"legend": [{"code": 1}]}, {"legend": [{"name": "good"}]},
        {"legend": [{"code": 1, "name": None}]}, {"legend": [{"code": 1, "name": ""}]},
        {"legend": [{"code": 1, "name": ["a"]}]}, {"legend": [{"code": 1, "name": {}}]},
        {"legend": [{"code": 0, "name": "good"}]}, {"legend": [{"code": 255, "name": "good"}]},
        {"legend": [{"code": True, "name": "good"}]}, {"legend": [{"code": 1.9, "name": "good"}]},
        {"legend": [{"code": None, "name": "good"}]}, {"legend": [{"code": "x", "name": "good"}]},
        {"legend": [{"code": float("inf"), "name": "good"}]},
        {"legend": [{"code": float("nan"), "name": "good"}]},
        {"legend": [{"code": 1, "name": "good"}] * 2},
        {"legend": [{"code": 1, "name": "good"}, {"code": 2, "name": " good "}]},
        {"legend": [{"code": 1, "name": "good", "color": "red"}]},
        {"legend": [{"code": 1, "name": "good", "color": "#12345\n"}]},
        {"legend": [{"code": 1, "name": "good", "color": ["#332288"]}]},
        {"legend": [{"code": i, "name": f"c{i}"} for i in range(1, 301)]},
        {"bands": 5}, {"bands": "b1"}, {"bands": [1, 2]}, {"bands": [{}, {}]}, {"bands": []},
        {"bands": [{"name": "b1"}]}, {"bands": {"name": "b1"}},
        {"bands": [{"name": "b1", "wavelength": "x"}, {"name": "b2"}]},
        {"bands": [{"name": "b1", "wavelength": []}, {"name": "b2"}]},
        {"bands": [{"name": None}, {"name": "b2"}]},
        {"chip_size": "x"}, {"chip_size": None}, {"chip_size": -1}, {"chip_size": 1.5},
        {"chip_size": [1]}, {"chip_size": float("inf")}, {"chip_size": float("nan")},
        {"chip_size": 10**400},
        {"context": -1}, {"context": 0.5}, {"context": True}, {"context": "1"}, {"context": None},
        {"context": 1}, {"context": 2**31}, {"context": 10**400},
        {"patches": -1}, {"patches": 1.5}, {"patches": True}, {"patches": []}, {"patches": 1},
        {"patches": 1, "classes": {}}, {"patches": 10**400},
        {"nodata": "abc"}, {"nodata": "0"}, {"nodata": [0]}, {"nodata": {}}, {"nodata": True},
        {"nodata": 10**400},
    ],
    ids=lambda change: json.dumps(change)[:50],
)  # fmt: skip
def test_a_description_without_sense_is_refused(desk, change):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED | change))
    desk.refuses("balance-samples", samples=folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe\xfa", b"\x00" * 50,
     b"[" * 100_000, b'{"version": 1, "x": ' + b"[" * 100_000,
     b'{"version": ' + b"9" * 9999 + b"}",
     b'{"version": 1, "classes": ' + b'{"good": ' * 5000 + b"1" + b"}" * 5001],
)  # fmt: skip
def test_a_description_that_is_no_object_is_refused(desk, content):
    folder = some_samples(desk)
    (folder / "samples.json").write_bytes(content)
    assert "samples.json" in desk.refuses("balance-samples", samples=folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(set(DESCRIBED) | {"scene", "crs", "dtype", "context", "patches"})),
    json_values,
)
def test_any_value_in_a_description_is_read_or_refused_in_one_sentence(key, value):
    with fresh_desk() as desk:
        folder = some_samples(desk)
        (folder / "samples.json").write_text(json.dumps(DESCRIBED | {key: value}))
        result = desk.does_or_refuses("balance-samples", samples=folder)
        assert result is None or result["before"] == 5


def test_nan_as_the_nodata_of_a_description_means_none(desk):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED | {"nodata": float("nan")}))
    assert desk.does("balance-samples", samples=folder)["before"] == 5


def test_a_folder_of_very_many_classes_is_refused(desk):
    folder = desk.inputs / "samples"
    for number in range(300):
        (folder / f"c{number}").mkdir(parents=True)
    np.save(folder / "c7/x.npy", GOOD)
    assert "254" in desk.refuses("balance-samples", samples=folder)


@pytest.mark.parametrize("content", [{}, {"good": np.ones((0, 2, 1, 1))}])
def test_a_folder_without_a_sample_is_refused(desk, content):
    folder = some_samples(desk)
    shutil.rmtree(folder / "good")
    for name, array in content.items():
        (folder / name).mkdir()
        np.save(folder / name / "x.npy", array)
    assert "no sample" in desk.refuses("balance-samples", samples=folder)
