import json
import os

import numpy as np
import pytest

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend, write_legend
from tests.scenes import write_raster

CLASSES = [
    {"code": 7, "name": "лес", "color": "#112233"},
    {"code": 20, "name": "вода", "color": "#445566"},
]


# as QGIS 3 writes it: colours as r,g,b,a, of older ones as a prop
CATEGORIZED = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28.0"><renderer-v2 type="categorizedSymbol" attr="class">
<categories>
 <category symbol="0" value="7" label="лес"/><category symbol="1" value="20" label="вода"/>
 <category symbol="2" value="" label="all other values"/>
</categories>
<symbols>
 <symbol name="0" type="fill"><layer><Option type="Map">
  <Option name="color" type="QString" value="17,34,51,255,rgb:0.06,0.13,0.2,1"/>
 </Option></layer></symbol>
 <symbol name="1" type="fill"><layer><prop k="style" v="solid"/><prop k="color" v="68,85,102,255"/>
 </layer></symbol>
 <symbol name="2" type="fill"/>
</symbols></renderer-v2></qgis>"""


def written(path):
    write_legend(path, Legend.from_list(CLASSES))
    return path


def as_csv(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def as_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda p: as_csv(p / "l.csv", "code,name,color\n7,лес,#112233\n20,вода,#445566\n"),
        lambda p: as_csv(
            p / "l.csv", "Name;Code;Color\r\n вода ;20;#445566\r\n\r\nлес;7.0;#112233\r\n",
            "utf-8-sig",
        ),
        lambda p: as_csv(p / "l.csv", "color\tcode\tname\n#112233\t7\tлес\n#445566\t20\tвода"),
        lambda p: as_json(p / "l.json", CLASSES),
        lambda p: written(p / "l.csv"),
        lambda p: written(p / "l.json"),
        lambda p: written(p / "l.qml"),
        lambda p: as_csv(p / "layer.qml", CATEGORIZED),
        lambda p: as_json(p / "samples.json", {"version": 1, "legend": CLASSES, "classes": {}}),
        lambda p: as_json(p / "samples.json", {"legend": CLASSES}).parent,
        lambda p: write_raster(
            p / "m.tif", np.full((2, 2), 7, np.uint8), LANDCOVER_LEGEND=json.dumps(CLASSES)
        ),
    ],
    ids=[
        "csv", "semicolons", "tabs", "list", "our csv", "our json", "our qml", "qml of a layer",
        "samples", "folder", "map",
    ],
)  # fmt: skip
def test_a_legend_is_read_whatever_brings_it(tmp_path, write):
    assert read_legend(write(tmp_path)).to_list() == CLASSES


def test_names_by_code_are_a_legend_with_colours_of_their_own(tmp_path):
    legend = read_legend(as_json(tmp_path / "classes.json", {"2": "forest", "10": "water"}))
    assert legend.to_list() == [
        {"code": 2, "name": "forest", "color": "#117733"},
        {"code": 10, "name": "water", "color": "#1f78b4"},
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("class,number\nforest,1\n", "first line of a CSV"),
        ("code,name\n", "it holds no class"),
        ("code,name\n1,forest\n1,water\n", "the code 1 stands twice"),
        ("code,name\n1,forest\n2, forest\n", "the name forest stands twice"),
        ("code,name,color\n1,forest,green\n", "class forest has the colour green"),
        ("code,name,color\n1,forest,#12345\n", "class forest has the colour #12345"),
        ("code,name\n0,none\n1,forest\n", "holds code 0, needs 1 to 254"),
        ("code,name\n255,none\n", "holds code 255, needs 1 to 254"),
        ("code,name\none,forest\n", "one is no code"),
        ("code,name\n1\n", "code 1 has no name"),
        ("code,name\n" + "9" * 5000 + ",a\n", "is no code"),
        ("code,name\n" + "".join(f"{i},c{i}\n" for i in range(1, 301)), "holds code 255"),
        ('code,name\n1,"' + "x" * 200_000, "cannot be read as CSV"),
        ("code,name\n" + "1,a\n" * 300_000, "more than 1,048,576 bytes"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"type": "FeatureCollection", "features": []}', "needs a list of classes"),
        ("[1, 2]", "needs a list of classes"),
        ('{"1": 5}', "needs a list of classes"),
        ('{"legend": null}', "needs a list of classes"),
        ("[]", "it holds no class"),
        ("<qgis", "cannot be read as a style of QGIS"),
        ("<qgis><pipe/></qgis>", "the style draws no classes"),
        ('<!DOCTYPE q [<!ENTITY a "b">]><qgis>&a;</qgis>', "cannot be read as a style of QGIS"),
        (
            '<!DOCTYPE q SYSTEM "file:///etc/passwd"><qgis><rasterrenderer type="paletted">'
            '<paletteEntry value="x" label="a"/></rasterrenderer></qgis>',
            "x is no code",
        ),
        ("code,name,parent\n1,forest,water\n2,water,\n", "which is a class itself"),
        ('[{"code": 1, "name": "a", "parent": 5}]', "needs to be a name"),
    ],
)
def test_what_is_no_legend_is_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        read_legend(as_csv(tmp_path / "l.csv", text))
    assert "\n" not in str(refused.value)
    assert "l.csv" in str(refused.value)


def test_what_is_no_text_or_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="it is not in UTF-8"):
        read_legend(as_csv(tmp_path / "l.csv", "code,name\n1,лес\n", "cp1251"))
    with pytest.raises(InputError, match="it is no text"):
        read_legend(as_csv(tmp_path / "l.csv", "code,name\n1,a\0b\n"))
    with pytest.raises(InputError, match="it is not in UTF-8"):
        read_legend(as_csv(tmp_path / "l.csv", "code,name\n1,лес\n", "utf-16"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is no plain file"):
        read_legend(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_legend(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="names no classes"):
        read_legend(write_raster(tmp_path / "m.tif", np.ones((2, 2), np.uint8)))


def test_no_legend_is_none():
    assert read_legend(None) is None


def test_whole_numbers_stay_codes_and_names_get_free_ones():
    legend = Legend.of_values(["5", "wood", "2", " 5 ", "bog"])
    assert [(c.code, c.name) for c in legend.classes] == [
        (1, "bog"), (2, "2"), (3, "wood"), (5, "5"),
    ]  # fmt: skip


def test_a_number_that_no_code_can_be_is_a_name():
    legend = Legend.of_values(["0", "1", "255", "01", "-1"])
    assert {c.name: c.code for c in legend.classes} == {
        "1": 1, "-1": 2, "0": 3, "01": 4, "255": 5,
    }  # fmt: skip


def test_a_legend_from_before_keeps_codes_and_colours():
    before = Legend.from_list(CLASSES)
    longer = before.with_values(["вода", "болото", "лес", "9", "20"])
    assert [c for c in longer.to_list() if c["code"] in (7, 20)] == CLASSES
    assert {c.name: c.code for c in longer.classes} == {
        "болото": 1, "лес": 7, "9": 9, "вода": 20,
    }  # fmt: skip
    assert len({c.color for c in longer.classes}) == 4


def test_letters_composed_otherwise_are_the_same_name():
    composed, decomposed = "Wald\u00fc", "Waldu\u0308"
    legend = Legend.of([composed])
    assert legend.match([decomposed]) == {decomposed: 1}
    assert legend.with_values([decomposed]) == legend
    both = Legend.of([composed, decomposed])
    assert [both.code_of_name(name) for name in both.names] == [1, 2]


@pytest.mark.parametrize("name", ["l.csv", "l.json"])
def test_groups_of_classes_are_kept(tmp_path, name):
    legend = Legend.from_list([{**CLASSES[0], "parent": "растительность"}, CLASSES[1]])
    write_legend(tmp_path / name, legend)
    assert read_legend(tmp_path / name) == legend


def test_a_file_of_another_kind_is_not_written(tmp_path):
    with pytest.raises(InputError, match=r"needs to end in \.csv, \.json, \.qml"):
        write_legend(tmp_path / "legend.txt", Legend.from_list(CLASSES))
    assert not list(tmp_path.iterdir())
