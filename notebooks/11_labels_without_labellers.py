# %% [markdown]
# # 11. A thousand scenes without a labeller
#
# Nobody labels a thousand scenes by hand. Where classes differ by brightness or by an index, rules
# can do it: open water is dark, young ice is grey, thick ice and snow are bright. The operation
# `label_by_color` labels scenes by such rules, finds the thresholds of each scene by itself, and
# says which scenes it would rather not label.
#
# What comes out is no truth. Labels by rules are wrong in places, most of all under thin cloud
# and in shadow. So this page ends where every page should: with a few points that a person
# checked.
#
# No scene of sea ice comes with the course, so we make a season of them: the same floes drifting,
# on days of different light, the last one under cloud. With your own, the list of their names is
# all that changes.

# %%
import csv
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter

from landcover import classify_scene, extract_samples, label_by_color, train_classifier

work = Path.home() / "course" / "work" / "ice"
work.mkdir(parents=True, exist_ok=True)
CRS, CORNER, PIXEL, SIDE, DAYS = "EPSG:3413", (500_000.0, -1_000_000.0), 250.0, 192, 8
rng = np.random.default_rng(0)
field = gaussian_filter(rng.normal(size=(SIDE, SIDE + 20 * DAYS)), 7)
water, thin = np.quantile(field, (0.35, 0.6))


def picture(day):
    """Return the classes of a day, 1 to 3, and its picture, red, green and blue."""
    floes = field[:, 20 * day : 20 * day + SIDE]
    truth = 1 + (floes > water) + (floes > thin)
    grain = 8 * rng.normal(size=(SIDE, SIDE))
    light = np.array([0, 60, 145, 220])[truth] * (0.8 + 0.03 * day) + grain
    tint = np.array([-12, -5, 0])[:, None, None]
    if day == DAYS - 1:  # overcast
        light = 200 + 150 * gaussian_filter(rng.normal(size=(SIDE, SIDE)), 5)
    return truth.astype(np.uint8), np.clip(light + tint, 0, 255).astype(np.uint8)


scenes, truths = [], []
for day in range(DAYS):
    truth, rgb = picture(day)
    scenes.append(work / f"day{day}.tif")
    truths.append(truth)
    with rasterio.open(
        scenes[-1], "w", driver="GTiff", width=SIDE, height=SIDE, count=3, dtype="uint8", crs=CRS,
        transform=rasterio.Affine(PIXEL, 0, CORNER[0], 0, -PIXEL, CORNER[1]),
    ) as dataset:  # fmt: skip
        dataset.write(rgb)
        dataset.descriptions = ["red", "green", "blue"]

# %% [markdown]
# ## One call for all of them
#
# `sea-ice` is a set of rules that comes with the operation. Its thresholds are those of the
# literature (31 and 205 of the brightness of a Sentinel-2 picture), and on other pictures they are
# far off: on a MODIS scene of Greenland they were right in 65 % of the pixels, while thresholds
# that Otsu's method found in the scene itself were right in 92 %. So `calibrate="otsu"` is the
# default, and it refuses a scene whose histogram does not have three modes. The others are
# labelled all the same.

# %%
done = label_by_color(scenes=scenes, rules="sea-ice", tile=64, workdir=work / "labels")
for path in sorted(done.labels.glob("*.tif")):
    with rasterio.open(path) as dataset:
        print(path.name, "thresholds", dataset.tags()["THRESHOLDS"])

# %% [markdown]
# The report (`report.html`, open it from the file browser) has histograms, thresholds and pictures
# of the first scenes. This is one of them:

# %%
with rasterio.open(scenes[2]) as dataset, rasterio.open(done.labels / "day2.tif") as codes:
    rgb, labels = dataset.read(), codes.read(1)
fig, axes = plt.subplots(1, 2, figsize=(8, 4))
axes[0].imshow(np.moveaxis(rgb, 0, -1))
axes[1].imshow(labels, cmap="Blues_r", vmin=1, vmax=3)
for ax in axes:
    ax.axis("off")
plt.show()

# %% [markdown]
# ## How much ice?
#
# `concentration.csv` has, for each tile of each scene, the shares of the classes among the
# labelled pixels, and `ice`, the concentration of both kinds together.

# %%
with done.concentration.open() as file:
    rows = list(csv.DictReader(file))
by_day = {}
for row in rows:
    by_day.setdefault(row["scene"], []).append(float(row["ice"]))
fig, ax = plt.subplots(figsize=(6, 3))
ax.boxplot(list(by_day.values()), tick_labels=[Path(name).stem for name in by_day])
ax.set(ylim=(0, 1), ylabel="concentration of ice, by tile")
plt.show()

# %% [markdown]
# ## How noisy are the labels?
#
# Check a few dozen points by eye and give them as `reference`. Here the truth is known, so the
# points are drawn from it. With `reference`, the report says which share of the labels is wrong,
# with an interval, and takes nothing else for a measure of quality.

# %%
names = ["", "open water", "young or thin ice", "thick or snow-covered ice"]
rows, columns = rng.integers(0, SIDE, (2, 60))
points = geopandas.GeoDataFrame(
    {"class": [names[truths[2][place]] for place in zip(rows, columns, strict=True)]},
    geometry=geopandas.points_from_xy(
        CORNER[0] + (columns + 0.5) * PIXEL, CORNER[1] - (rows + 0.5) * PIXEL
    ),
    crs=CRS,
)
points.to_file(work / "checked.gpkg")
label_by_color(scenes=[scenes[2]], reference=work / "checked.gpkg", workdir=work / "checked")

# %% [markdown]
# ## A model that learns from them
#
# Label rasters are labels like any others. What a model learns from them is the rule, its errors
# included, and perhaps a little more: a U-Net that sees scenes with and without thin cloud under
# the same labels learns to see through it. A forest shows the way as well.
#
# Read the remark: the accuracy of such a training says how well the model learned the rule. How
# good its maps are, only the points say that a person checked.

# %%
samples = extract_samples(
    scene=scenes[0], labels=done.labels / "day0.tif", max_per_class=150, workdir=work / "samples"
).samples
model = train_classifier(samples=samples, options='{"trees": 20}', workdir=work / "model").model
mapped = classify_scene(scene=scenes[2], model=model, radiometry="ignore", workdir=work / "map")
with rasterio.open(mapped.map) as dataset:
    codes = dataset.read(1)
right = codes[rows, columns] == truths[2][rows, columns]
print(f"of {len(right)} checked points the map has {right.mean():.0%} right")

# %% [markdown]
# ## A thousand of them
#
# Each scene is counted and labelled by itself (the map step); between the two, only histograms
# are brought together (the reduce step). The operation uses the cores of its job. From a program
# of yours the same functions run on any executor, of a cluster too:
#
# ```python
# from concurrent.futures import ProcessPoolExecutor
# from landcover.scenes.auto_labels.label import label_scenes
# from landcover.scenes.auto_labels.one_scene import Task
# from landcover.scenes.auto_labels.rules import read_rules
#
# tasks = [Task(scene, None, "", read_rules("sea-ice")) for scene in scenes]
# with ProcessPoolExecutor() as pool:
#     label_scenes(tasks, "otsu", folder, spread=pool.map)
# ```
#
# Things to try: `filter="stretch"` against thin cloud; `margin=5`, which leaves pixels near a
# threshold unlabelled; `masks`, for land and clouds; rules of your own, in JSON (docs/labels.md):
#
# ```json
# {"classes": [{"name": "water", "ranges": {"NDWI": [0.1, null]}},
#              {"name": "plants", "ranges": {"NDVI": [0.4, null]}}]}
# ```
