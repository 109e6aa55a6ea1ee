# %% [markdown]
# # 8. Bring your own scene
#
# Until here the scene was a tidy GeoTIFF. What a provider delivers is not: a folder or a zip with
# a file per band, pixels of 10, 20 and 60 m, metadata in XML, clouds in a mask of its own. The
# operation `import_scene` makes one scene of it, and everything else of this course goes on as
# before.
#
# It reads Sentinel-2 (level 1C and 2A, as SAFE folder or zip), Landsat Collection 2 (level 1 and
# 2, as folder or tar), files of one band each, and GeoTIFF, JPEG 2000, ENVI, ERDAS Imagine,
# NetCDF and Zarr with a regular grid.
#
# To bring yours, open *Upload* on the page of jobs and processes and drag the zip, the folder or
# the files there: what breaks off goes on where it was, and then its name is `home/uploads/...`.
# The file browser on the left takes files too, but begins again after a break; their names are
# `home/...` then. The cell below is all you need:
#
# ```python
# from landcover import import_scene
#
# imported = import_scene(["home/uploads/S2B_MSIL2A_....zip"], workdir="home/my-scene")
# ```

# %% [markdown]
# ## A delivery to try it on
#
# You may have none at hand, so we make one of the scene that you know: a SAFE folder of level 1C,
# with the folders, names and metadata that ESA writes. Its pixels are real, the folder is made.

# %%
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling

demo = Path.home() / "shared" / "demo"
work = Path.home() / "course" / "work"
product = "S2A_MSIL1C_20170216T102101_N0204_R065_T33UUU_20170216T102204"
safe = work / "delivery" / f"{product}.SAFE"
images = safe / "GRANULE" / "L1C_T33UUU_A008642_20170216T102204" / "IMG_DATA"
images.mkdir(parents=True, exist_ok=True)

PIXELS = {"B01": 60, "B05": 20, "B06": 20, "B07": 20, "B8A": 20, "B09": 60, "B10": 60,
          "B11": 20, "B12": 20}  # fmt: skip
listed = []
with rasterio.open(demo / "scene.tif") as scene:
    for index, band in enumerate(scene.descriptions, 1):
        k = PIXELS.get(band, 10) // 10  # the scene has repeated pixels of 20 and 60 m
        shape = (scene.height // k, scene.width // k)
        values = scene.read(index, out_shape=shape, resampling=Resampling.nearest)
        name = f"T33UUU_20170216T102101_{band}"
        with rasterio.open(
            images / f"{name}.jp2", "w", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES",
            width=shape[1], height=shape[0], count=1, dtype="uint16", crs=scene.crs,
            transform=scene.transform @ rasterio.Affine.scale(k, k),
        ) as image:  # fmt: skip
            image.write(values, 1)
        listed.append(f"GRANULE/{images.parent.name}/IMG_DATA/{name}")

(safe / "MTD_MSIL1C.xml").write_text(
    "<Level-1C_User_Product><General_Info><Product_Info>"
    "<PRODUCT_START_TIME>2017-02-16T10:21:01.026Z</PRODUCT_START_TIME>"
    f"<PRODUCT_URI>{product}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>"
    "<PROCESSING_BASELINE>02.04</PROCESSING_BASELINE>"
    "<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake>"
    + "".join(f"<IMAGE_FILE>{name}</IMAGE_FILE>" for name in listed)
    + "</Product_Info><Product_Image_Characteristics>"
    '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    "</Product_Image_Characteristics></General_Info></Level-1C_User_Product>"
)
sorted(path.name for path in images.iterdir())

# %% [markdown]
# ## Import it
#
# One call. Read the remarks: they say what was left out, repeated, masked or not known. This
# product has no cloud mask, so nothing is masked, and the remark says so.

# %%
from landcover import import_scene

imported = import_scene([safe], workdir=work / "imported", overwrite=True)
imported

# %%
with rasterio.open(imported.scene) as scene, rasterio.open(demo / "scene.tif") as original:
    same = [
        np.array_equal(scene.read(scene.descriptions.index(band) + 1), original.read(index))
        for index, band in enumerate(original.descriptions, 1)
        if PIXELS.get(band, 10) == 10
    ]
    print(scene.count, "bands of", scene.width, "x", scene.height, "pixels")
    for key in ("SENSOR", "LEVEL", "DATE", "PRODUCT_ID", "SCALE", "OFFSET"):
        print(f"{key:<11}", scene.tags().get(key))
assert all(same)
print("the bands of 10 m are those of the demo's scene, pixel for pixel")

# %% [markdown]
# `SCALE` and `OFFSET` say how counts become reflectance: `SCALE * count + OFFSET`. Counts stay as
# ESA delivers them. That matters: since processing baseline 04.00, January 2022, ESA adds 1000 to
# all counts. A model that was trained on older products would take every newer scene for a
# brighter one; with the offset in both, the check of page 4 sees it and can correct it.
#
# ## Only what you need
#
# `bands` chooses and renames, `resolution` makes larger pixels (means), `area` cuts to polygons of
# any file. With a product of level 2A or of Landsat, `masked` says what becomes nodata: cloud,
# shadow, cirrus, snow, water, defective; `clouds="keep"` masks nothing.

# %%
small = import_scene(
    [safe],
    bands="blue=B02,green=B03,red=B04,nir=B08,swir=B11",
    resolution=20,
    workdir=work / "imported-small",
    overwrite=True,
)
with rasterio.open(small.scene) as scene:
    print(scene.descriptions, scene.res, f"{small.valid:.0%} valid")
    falsecolor = scene.read([scene.descriptions.index(b) + 1 for b in ("nir", "red", "green")])

# %% [markdown]
# Near infrared, red and green, as red, green and blue: plants are red.

# %%
import matplotlib.pyplot as plt

from sample_map import stretch

plt.figure(figsize=(6, 6))
plt.imshow(np.moveaxis(stretch(falsecolor, (falsecolor > 0).all(axis=0)), 0, -1))
plt.axis("off")
plt.show()

# %% [markdown]
# ## It is a scene like any other
#
# The map opens it, `extract_samples` cuts samples from it, and a model of page 3 finds its bands,
# which have the same names.

# %%
from sample_map import SampleMap

m = SampleMap("home/course/work/imported/scene.tif", name="imported", legend=["water", "forest"])
m

# %% [markdown]
# Beside the scene lies `item.json`, its STAC item: place, date, bands and units as catalogues read
# them. And what cannot be read says what it is:

# %%
from landcover.errors import InputError

(work / "delivery" / "somewhere.vrt").write_text("<VRTDataset/>")
try:
    import_scene([work / "delivery" / "somewhere.vrt"], workdir=work / "refused", overwrite=True)
except InputError as error:
    print(error)
