# %% [markdown]
# # 1. Draw samples
#
# A land-cover map starts with examples: places where somebody says *this is water, this is
# forest*. The computer then looks for the same spectra everywhere else. In this course we make
# such a map of a real scene, step by step:
#
# 1. **draw samples** (this page)
# 2. balance them: keep rare spectra, thin out frequent ones
# 3. train a classifier, and measure it honestly
# 4. check the radiometry: does the model know such a scene at all?
# 5. classify the scene
# 6. assess the map against a reference
#
# Run a cell with Shift+Enter. Every page takes less than ten minutes, and runs on its own after
# the ones before it.

# %% [markdown]
# ## The scene
#
# A winter day, 16 February 2017, west of Berlin, seen by Sentinel-2: 13 bands from violet-blue
# (B01, 443 nm) to short-wave infrared (B12, 2190 nm), resampled to 10 m. It is an honest scene
# rather than a beautiful one: the fields are bare, and thin cloud and its shadow lie across the
# middle. Do not expect 95 % of anything here; about 60 % is what this image can give.
#
# Below is the map, and beside it the legend and the tools. Choose a class with a click or with the
# keys 1 to 9, then a tool:
#
# * **Polygon** (key P) or **Rectangle** (R): click around an area that is surely of this class;
#   click the first corner again to close a polygon,
# * **Point** (O): one click marks a single place,
# * **Region** (G): one click, and all that is connected to it and looks alike becomes a sample.
#   Try it on a lake. The slider says how alike, and shows it while you move it.
#
# What is there can be changed at any time: **Select** (S) it, then drag its **Corners** (E),
# **Move** (M) or **Split** (X) it, **Cut out** (H) a hole, or delete it. **Change class** (C) and
# then a class gives it that class; otherwise a click on a class only says what you draw next. Esc
# lets go of a sample. **Undo** (Ctrl+Z) takes back the last step; *Undo this one* the last step of
# the selected sample, whatever you did elsewhere since.
#
# The line on top says where your samples are kept, with green at its edge. Each stroke is on the
# disk before it says so. Yellow means that the kernel is busy and saves what you draw when it is
# free. If it turns red, stop drawing: the kernel or the storage is away. Open the page again next
# week, or in two tabs, and the samples are there: run the cell with the map once more.

# %%
from sample_map import SampleMap, stretch

m = SampleMap(
    scene="shared/demo/scene.tif",
    legend={
        "farm": "#ddcc77",
        "forest": "#117733",
        "meadow": "#a6d96a",
        "residential": "#cc6677",
        "water": "#1f78b4",
    },
    name="course",
)
m

# %% [markdown]
# In infrared, water and vegetation stand out better than in natural colours. Open *Layers*,
# click the scene's name and choose B08 (near infrared) as red, B04 as green and B03 as blue:
# growing plants are red, water is nearly black. *Stretch to the view* takes black and white from
# what you look at. **Inspect** (I) and a click draw the spectrum of a pixel, **Measure** (D) says
# how long a line is, **All of it** (A) shows the whole scene again.

# %% [markdown]
# ## Samples that others drew
#
# Good training data takes days. To go on at once, we add polygons that volunteers drew in
# OpenStreetMap. They appear on the map above, beside yours. Every third polygon of a class was set
# aside as a *reference* (page 6), before anything was trained: what checks a map must never have
# taught it.

# %%
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from rasterio.plot import plotting_extent

demo = Path.home() / "shared" / "demo"
labels = geopandas.read_file(demo / "labels.gpkg")
if "OpenStreetMap" not in set(m.samples["author"]):
    m.add(labels, author="OpenStreetMap")

with rasterio.open(demo / "scene.tif") as scene:
    red_green_blue = scene.read([4, 3, 2])
    extent = plotting_extent(scene)

fig, ax = plt.subplots(figsize=(12, 6.5))
valid = np.ones(red_green_blue.shape[1:], bool)
ax.imshow(np.moveaxis(stretch(red_green_blue, valid), 0, -1), extent=extent)
for one in m.legend.classes:
    chosen = labels[labels["class"] == one.name]
    if chosen.empty:  # a class of yours
        continue
    chosen.plot(ax=ax, facecolor="none", edgecolor=one.color, linewidth=1.5)
    ax.plot([], [], color=one.color, linewidth=4, label=f"{one.name} ({len(chosen)})")
ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="", ylabel="")
ax.set_title("Training polygons (UTM zone 33N, metres)")
ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False)
plt.show()

# %% [markdown]
# All samples as a table. It is a GeoDataFrame, so all of GeoPandas works on it. Each sample knows
# who drew it, when, and on which image.

# %%
m.samples.groupby(["class", "author"]).size().unstack(fill_value=0)

# %% [markdown]
# Look at the picture before you trust it. Some *meadow* is bare soil in February, the
# *residential* outlines hold gardens and trees, and some polygons lie under the cloud. Labels that
# are wrong in this way limit every map made from them, whatever the method.
#
# **Use your own eyes**: open *Samples* beside the map, click one, and see whether you
# agree. What you delete or correct there is what the next pages use.
