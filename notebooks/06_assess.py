# %% [markdown]
# # 6. Assess the map
#
# Page 3 estimated how good the model is; this page measures the *map*, against polygons that were
# set aside before anything was trained. Pixels without a reference do not count.

# %%
import json
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from IPython.display import Image
from rasterio.features import rasterize

from landcover import assess_quality
from landcover.legend import NODATA, Legend

demo = Path.home() / "shared" / "demo"
work = Path.home() / "course" / "work"

assessment = assess_quality(
    map=work / "classify" / "map.tif",
    reference=demo / "reference.gpkg",
    workdir=work / "assess",
)
print(f"overall accuracy {assessment.accuracy:.1%}, kappa {assessment.kappa:.2f}")
print(f"from {assessment.labelled} pixels with a reference")

statistics = json.loads(assessment.statistics.read_text())
outside = statistics["outside_training"]
print(f"{statistics['inside_training']:.0%} of them lie where the model was trained")
print(f"overall accuracy of the {outside['labelled']} others {outside['accuracy']:.1%}")

# %% [markdown]
# Whoever assesses a map by what trained it deceives himself. So model and map carry where the
# training pixels lie, in cells of 16 pixels, and the share of the reference in these cells is told
# first, with the figure for the others. These polygons were set aside, but some lie side by side
# with training polygons; here the others are no worse.
#
# Between six and seven pixels of ten are right. Guessing by area alone would be right in about
# three; kappa says how far beyond that the map is. For a cloudy winter image and labels by
# volunteers this is what to expect.
#
# Here it stands beside the two figures of page 3:

# %%
report = json.loads((work / "train" / "report.json").read_text())
figures = {
    "samples,\nby place": report["accuracy_spatial"],
    "map, against\nthe reference": assessment.accuracy,
    "samples,\nat random": report["accuracy_random"],
}

fig, ax = plt.subplots(figsize=(6, 3.2))
bars = ax.bar(figures.keys(), figures.values(), color=["#88ccee", "#117733", "#bbbbbb"], width=0.6)
ax.bar_label(bars, fmt=lambda share: f"{share:.0%}")
ax.set(ylim=(0, 1), ylabel="overall accuracy")
plt.show()

# %% [markdown]
# They answer different questions. *By place* was measured on balanced samples, in which rare and
# difficult spectra weigh as much as frequent ones. *Against the reference* counts pixels, and
# large, easy fields have most of them. The random split promised more than either, because
# it asks about places that the model knows. Whoever reports a figure should say which one it is.
#
# ## The confusion matrix
#
# Rows are the reference, columns the map; the diagonal is right. Read along a row to see what a
# class is taken for.

# %%
Image(filename=assessment.figure, width=640)

# %%
names = statistics["classes"]
users, producers = (
    np.array([statistics["class"][which][name] or 0 for name in names]) for which in ("PPV", "TPR")
)
places = np.arange(len(names))

fig, ax = plt.subplots(figsize=(8, 3.6))
ax.bar(places - 0.2, users, 0.38, color="#332288", label="user's accuracy (PPV)")
ax.bar(places + 0.2, producers, 0.38, color="#88ccee", label="producer's accuracy (TPR)")
ax.set_xticks(places, names)
ax.set(ylim=(0, 1))
ax.legend(frameon=False, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.15))
plt.show()

# %% [markdown]
# *Farm*, *forest* and *water* can be used with care. *Residential* is found, but more than half of
# what the map calls residential is field, meadow or forest: good producer's accuracy, poor user's
# accuracy.
#
# ## Is the confidence worth anything?
#
# If it is, pixels with a high confidence are right more often. Here they are, about as often as
# the confidence says. So you may mask the unsure ones, or send somebody there.

# %%
with rasterio.open(work / "classify" / "map.tif") as dataset:
    codes = dataset.read(1)
    legend = Legend.from_tag(dataset.tags()["LANDCOVER_LEGEND"])
    transform, crs = dataset.transform, dataset.crs
with rasterio.open(work / "classify" / "confidence.tif") as dataset:
    confidence = dataset.read(1)

reference = geopandas.read_file(demo / "reference.gpkg").to_crs(crs)
numbers = {c.name: c.code for c in legend.classes}
unknown = 0  # the code of a class that the map does not know: wrong wherever it lies
shapes = [(row.geometry, numbers.get(row["class"], unknown)) for _, row in reference.iterrows()]
truth = rasterize(shapes, codes.shape, fill=NODATA, transform=transform, dtype="uint8")

compared = (truth != NODATA) & (codes != NODATA)
is_right = codes[compared] == truth[compared]
steps = np.arange(20, 101, 10)
bins = np.clip(np.digitize(confidence[compared], steps) - 1, 0, len(steps) - 2)
count = np.bincount(bins, minlength=len(steps) - 1)
share = np.bincount(bins, is_right, minlength=len(steps) - 1) / np.maximum(count, 1)

fig, ax = plt.subplots(figsize=(8, 3.6))
ax.bar(steps[:-1] + 5, share, 9, color="#44aa99")
for x, y, n in zip(steps[:-1] + 5, share, count, strict=True):
    ax.text(x, y + 0.05, f"{n / count.sum():.0%}", ha="center", fontsize=9)
ax.plot([20, 100], [0.2, 1], "--", color="#777777", label="as right as it is sure")
ax.set(xlabel="confidence (%)", ylabel="share that is right", ylim=(0, 1.1))
ax.set_title("above each bar: its share of the compared area")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The report
#
# `report.html` holds all of this on one page to print or send, and says what the figures can and
# cannot tell. In particular: the reference is not a random sample of the scene, so there is no
# confidence interval and no honest estimate of areas.

# %%
assessment.report

# %% [markdown]
# ## Figures for the whole map
#
# For those, draw points at random within each class of the map, and label every one of them: on
# finer imagery, in the field. The file does not say what the map shows there, so that you are not
# led.

# %%
from landcover import draw_reference_sample

sample = draw_reference_sample(
    map=work / "classify" / "map.tif", per_class=50, workdir=work / "sample"
)
geopandas.read_file(sample.points).head(3)

# %% [markdown]
# The columns `map` and `stratum` are seals: by them `assess_quality(..., design="stratified")`
# knows the points that were drawn from this map, and counts those that were moved, added or lost.
# Label them in QGIS, or here: `SampleMap(..., name="points").add(geopandas.read_file(...))` puts
# them on the map, where a click on one and then on a class labels it. Leave `class` empty where
# you cannot decide. You get accuracy and the area of each class with
# 95 % intervals (Olofsson et al. 2014), also where no point of a class is wrong.
#
# ## Is another map better?
#
# A second model is soon trained. Whether its map is *better* or luckier, `compare_maps` tells: it
# counts each reference polygon as one witness, since the pixels of a polygon are right or wrong
# together, and neighbouring polygons as one where the maps differ in patches that reach over them.
# Where too few places differ, it says so and decides nothing. Here the other map is the same one
# with its least sure pixels given to the class that is most frequent.

# %%
from landcover import compare_maps

frequent = np.bincount(codes[codes != NODATA]).argmax()
other = np.where((confidence < 50) & (codes != NODATA), frequent, codes).astype("uint8")
with rasterio.open(work / "classify" / "map.tif") as dataset:
    profile = {**dataset.profile, "driver": "GTiff"}
    tags = dataset.tags()
(work / "compare").mkdir(parents=True, exist_ok=True)
with rasterio.open(work / "compare" / "other.tif", "w", **profile) as dataset:
    dataset.write(other, 1)
    dataset.update_tags(LANDCOVER_LEGEND=tags["LANDCOVER_LEGEND"])

comparison = compare_maps(
    first=work / "classify" / "map.tif",
    second=work / "compare" / "other.tif",
    reference=demo / "reference.gpkg",
    workdir=work / "compare",
)
print(f"better: {comparison.better}, p = {comparison.p_value:.2g}")

# %% [markdown]
# ## Share the map
#
# People who work together are a team, and have a folder `team/NAME` that its members read and
# write. `make run` begins with the team *practice* of `demo` and `guest`: sign in as `guest` in
# another browser, with the same password, and the map lies there. At an institute the groups of
# Nextcloud are the teams. The page of a job has a form that does the same.

# %%
from landcover.storage import share

if (Path.home() / "team" / "practice").is_dir():
    print(share("home/course/work/classify/map.tif", group="practice"))
else:
    print('there is no team practice here: give yours, as in share(..., group="forest")')

# %% [markdown]
# ## Where to go from here
#
# * **Better labels** help most: go back to page 1, and draw a class *cloud*.
# * **Better images**: a scene from May tells meadow and field apart.
# * **Another scene**: `shared/demo-landsat/` holds a Landsat 7 scene of North Carolina. Change the
#   paths on pages 2 to 5, and see which of your conclusions hold.
#
# The same assessment as a job of the WPS, this time *asynchronously* with OWSLib: the answer comes
# at once, and you ask for the status as often as you like.

# %%
import os

from owslib.wps import ASYNC, WebProcessingService, monitorExecution

wps = WebProcessingService(
    os.environ["GEOPORTAL_WPS_URL"],
    headers={"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"},
)
job = wps.execute(
    "assess-quality",
    [("map", "home/course/work/classify/map.tif"), ("reference", "shared/demo/reference.gpkg")],
    output=[("accuracy", False), ("report", True)],
    mode=ASYNC,
)
monitorExecution(job, sleepSecs=1)
assert job.isSucceded(), [error.text for error in job.errors]
print({output.identifier: output.data or output.reference for output in job.processOutputs})
