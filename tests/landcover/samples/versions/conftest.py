import json

import pytest
import shapely

from landcover.samples.versions.ledger import Ledger
from landcover.samples.versions.record import Record, wkb_of


@pytest.fixture
def ledger(tmp_path):
    pytest.importorskip("pyarrow")
    folder = tmp_path / "samples"
    folder.mkdir()
    return Ledger(folder)


@pytest.fixture
def record():
    def make(id_, class_name="water", at=(105.0, 52.0), **values):
        return Record(id_, class_name, wkb_of(shapely.Point(at)), **{"author": "ann", **values})

    return make


@pytest.fixture
def write_geojson(tmp_path):
    def write(name, records, **head):
        features = [record.to_feature() for record in records]
        path = tmp_path / name
        path.write_text(json.dumps({"type": "FeatureCollection", **head, "features": features}))
        return path

    return write
