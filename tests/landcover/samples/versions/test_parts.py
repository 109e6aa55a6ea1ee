import hashlib
import json
from contextlib import suppress

import geopandas
import pytest

from landcover.errors import InputError
from landcover.samples.versions import parts
from landcover.samples.versions.parts import read_part, write_part

pytest.importorskip("pyarrow")


def test_a_part_is_read_as_written_and_equal_ones_are_one_file(tmp_path, record):
    records = [record("a", comments='["good"]'), record("b", "forest", version=7)]
    digest = write_part(tmp_path, records)
    assert read_part(tmp_path, digest) == records
    assert write_part(tmp_path, records) == digest
    assert [path.name for path in tmp_path.iterdir()] == [f"{digest}.parquet"]


def test_others_read_it_as_geoparquet(tmp_path, record):
    digest = write_part(tmp_path, [record("a", at=(104.5, 51.25))])
    frame = geopandas.read_parquet(tmp_path / f"{digest}.parquet")
    assert (frame["class"][0], frame.geometry[0].x, frame.crs.to_string()) == (
        "water", 104.5, "OGC:CRS84"
    )  # fmt: skip


def put(folder, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{digest}.parquet").write_bytes(content)
    return digest


def encoded(tmp_path, table) -> bytes:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "table")
    return (tmp_path / "table").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1", b"{}"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="is no GeoParquet"):
        read_part(tmp_path, put(tmp_path, content))


def test_a_part_cut_or_changed_anywhere_is_refused(tmp_path, record):
    content = (tmp_path / f"{write_part(tmp_path, [record('a')])}.parquet").read_bytes()
    for at in range(0, len(content), 41):
        for broken in (content[:at], content[:at] + b"\xff\xff" + content[at + 2 :]):
            with suppress(InputError):  # and nothing else
                assert all(r.id for r in read_part(tmp_path, put(tmp_path, broken)))


def test_other_columns_are_refused(tmp_path):
    import pyarrow

    content = encoded(tmp_path, pyarrow.table({"id": ["a"], "class": ["water"]}))
    with pytest.raises(InputError, match="other columns"):
        read_part(tmp_path, put(tmp_path, content))


def test_a_small_file_of_many_bytes_is_refused(tmp_path, record, monkeypatch):
    many = [record(f"s{n}", more=json.dumps({"note": "x" * 50_000})) for n in range(200)]
    digest = write_part(tmp_path, many)
    assert (tmp_path / f"{digest}.parquet").stat().st_size < 200_000
    monkeypatch.setattr(parts, "_MOST_READ", 1 << 20)
    with pytest.raises(InputError, match="more than 1,048,576 bytes"):
        read_part(tmp_path, digest)


def test_a_damaged_geometry_is_refused(tmp_path, record):
    import pyarrow.parquet

    digest = write_part(tmp_path, [record("a")])
    table = pyarrow.parquet.read_table(tmp_path / f"{digest}.parquet")
    at = table.column_names.index("geometry")
    table = table.set_column(at, table.schema.field(at), [[b"\x01\x01"]])
    with pytest.raises(InputError, match=r"\.parquet"):
        read_part(tmp_path, put(tmp_path, encoded(tmp_path, table)))


def test_texts_that_no_sample_has_are_refused(record):
    with pytest.raises(InputError, match="no JSON"):
        record("a", comments="{")
    with pytest.raises(InputError, match="no JSON"):
        record("a", more="[]")
    with pytest.raises(InputError, match="more than 65536"):
        record("a", image="x" * 70_000)
