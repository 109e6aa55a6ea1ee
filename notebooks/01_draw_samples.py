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
# 4. classify the scene
# 5. assess the map against a reference
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
# Below is the map. Choose a class in the legend, then a tool on the left:
#
# * **polygon** or **rectangle**: click around an area that is surely of this class; click the
#   first corner again to close a polygon,
# * **circle**: one click marks a single point,
# * **edit**, **drag** and **remove** change what is there.
#
# Each change is saved at once, as GeoJSON in your own folder. Open the page again next week, and
# the samples are there.

# %%
from sample_map import SampleMap

m = SampleMap(
    scene="shared/demo/scene.tif",
    legend={
        "farm": "#ddcc77",
        "forest": "#117733",
        "meadow": "#a6d96a",
        "residential": "#cc6677",
        "water": "#1f78b4",
    },
)
m

# %% [markdown]
# What you have drawn, as a table. It is a GeoDataFrame, so all of GeoPandas works on it. Each
# sample knows who drew it, when, and on which image. (Nothing drawn yet? Then it is empty, and the
# course goes on with samples that others drew.)

# %%
m.samples

# %% [markdown]
# In infrared, water and vegetation stand out better than in natural colours. Add
# `bands=("B08", "B04", "B03")` above to show near infrared as red, red as green and green as blue:
# growing plants are red, water is nearly black. The samples stay the same.

# %% [markdown]
# ## Samples that others drew
#
# Good training data takes days. To go on at once, we use polygons that volunteers drew in
# OpenStreetMap. Every third polygon of a class was set aside as a *reference* (page 6), before
# anything was trained: what checks a map must never have taught it.

# %%
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from rasterio.plot import plotting_extent
from sample_map.imagery import stretch

demo = Path.home() / "shared" / "demo"
labels = geopandas.read_file(demo / "labels.gpkg")

with rasterio.open(demo / "scene.tif") as scene:
    red_green_blue = scene.read([4, 3, 2])
    extent = plotting_extent(scene)

fig, ax = plt.subplots(figsize=(12, 6.5))
valid = np.ones(red_green_blue.shape[1:], bool)
ax.imshow(np.moveaxis(stretch(red_green_blue, valid), 0, -1), extent=extent)
for one in m.legend.classes:
    chosen = labels[labels["class"] == one.name]
    chosen.plot(ax=ax, facecolor="none", edgecolor=one.color, linewidth=1.5)
    ax.plot([], [], color=one.color, linewidth=4, label=f"{one.name} ({len(chosen)})")
ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="", ylabel="")
ax.set_title("Training polygons (UTM zone 33N, metres)")
ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False)
plt.show()

# %% [markdown]
# Look at the picture before you trust it. Some *meadow* is bare soil in February, the
# *residential* outlines hold gardens and trees, and some polygons lie under the cloud. Labels that
# are wrong in this way limit every map made from them, whatever the method.
#
# **To use your own samples instead**, draw some in at least two classes (several polygons each,
# far apart) and switch on the line for them at the top of the next page.
