# %% [markdown]
# # 5. Classify the scene
#
# Now the model looks at every pixel. Before it does, it runs the check of page 4 by itself: a
# scene whose values it does not know is refused, with advice, unless you ask otherwise.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch
from rasterio.plot import plotting_extent

from landcover import classify_scene
from landcover.legend import NODATA, Legend

demo = Path.home() / "shared" / "demo"
work = Path.home() / "course" / "work"

classification = classify_scene(
    scene=demo / "scene.tif",
    model=work / "train" / "model.onnx",
    workdir=work / "classify",
)
classification

# %% [markdown]
# ## The map, and how sure the model is
#
# The map is a GeoTIFF that QGIS opens with the colours and names of its classes: they stand in
# `map.qml` and `map.tif.aux.xml` beside it, so copy all three. Beside it also lies the
# *confidence*: the share of trees, in percent, that voted for the class that won. With
# `probabilities=True` you get that share for every class.

# %%
with rasterio.open(classification.map) as dataset:
    codes = dataset.read(1)
    legend = Legend.from_tag(dataset.tags()["LANDCOVER_LEGEND"])
    extent = plotting_extent(dataset)
with rasterio.open(classification.confidence) as dataset:
    confidence = np.ma.masked_equal(dataset.read(1), NODATA)

colors = ListedColormap([c.color for c in legend.classes])
edges = BoundaryNorm([*(c - 0.5 for c in legend.codes), legend.codes[-1] + 0.5], len(legend.codes))

fig, (above, below) = plt.subplots(2, 1, figsize=(11, 12), layout="constrained")
above.imshow(
    np.ma.masked_equal(codes, NODATA), cmap=colors, norm=edges, extent=extent, interpolation="none"
)
above.legend(
    handles=[Patch(color=c.color, label=c.name) for c in legend.classes],
    ncols=len(legend.classes),
    loc="upper center",
    bbox_to_anchor=(0.5, -0.06),
    frameon=False,
)
above.set_title("Land cover")
shown = below.imshow(confidence, cmap="viridis", vmin=20, vmax=100, extent=extent)
fig.colorbar(shown, ax=below, label="confidence (%)", orientation="horizontal", shrink=0.4)
below.set_title("Confidence: dark is where a field visit pays most")
plt.show()

# %% [markdown]
# Now lay it over the scene and your samples: `add_layer` also finds the confidence beside the map.
# In *Layers*, unfold the map: its legend says how many hectares each class has. Choose *Compare:
# swipe* and drag the curtain between map and scene, or *side by side*. Switch *Unknown* on: what
# the model is less than 50 % sure of; the slider changes that. Take the tool *Inspect* (I) and
# click a place that you know: class, confidence, and the spectrum, band by band. Where the map is
# wrong, draw a sample of what it should be: that teaches more than ten samples where it is right.

# %%
from sample_map import SampleMap

m = SampleMap("shared/demo/scene.tif", name="course")
m.add_layer("home/course/work/classify/map.tif")
m

# %% [markdown]
# There is no class "cloud", so the cloud was given to the
# classes whose spectra come closest, and its shadow to others. The lakes are sure (bright in the
# lower picture), most fields are not.
#
# ## Nothing is left out in silence
#
# Every valid pixel is classified, or masked with a reason. The coverage report adds up:

# %%
coverage = json.loads(classification.coverage.read_text())
assert coverage["valid"] == coverage["classified"] + sum(coverage["masked"].values())
coverage["valid"], coverage["classified"], coverage["masked"]

# %%
names, pixels = [c.name for c in legend.classes], [(codes == c).sum() for c in legend.codes]
fig, ax = plt.subplots(figsize=(8, 2.8))
bars = ax.barh(names, np.array(pixels) / 1e4, color=[c.color for c in legend.classes])
ax.bar_label(bars, fmt=" {:.0f}")
ax.margins(x=0.1)
ax.invert_yaxis()
ax.set(xlabel="area on the map (km²)", title="Area by counting pixels: biased as the map is")
plt.show()

# %% [markdown]
# ## The same through the WPS
#
# Everything so far ran in this notebook. The geoportal offers the same operations as a *Web
# Processing Service*, an OGC standard: a job runs on the server and goes on when you close the
# browser; QGIS, a script or a colleague's program can start it too. Files are named as you see
# them: `home/...` is your folder, `shared/...` is everybody's.
#
# Your server knows where the service is, and holds a token that says who you are.

# %%
import os

from birdy import WPSClient

wps = WPSClient(
    os.environ["GEOPORTAL_WPS_URL"],
    headers={"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"},
    progress=True,
)
answer = wps.classify_scene(
    scene="shared/demo/scene.tif",
    model="home/course/work/train/model.onnx",
)

# %% [markdown]
# With `progress=True` the call comes back at once, and its bar goes on by itself. To wait for the
# job, and to read the reason if it failed:

# %%
from owslib.wps import monitorExecution

monitorExecution(answer, sleepSecs=1)
outputs = answer.get()
print(outputs.map)
print(outputs.classified, "pixels classified")

# %% [markdown]
# Outputs come as addresses, `.../outputs/JOB/map.tif`. The same file lies in your own folder as
# `home/jobs/JOB/map.tif`, so there is nothing to download:

# %%
job = outputs.map.split("/outputs/")[1].split("/")[0]
with rasterio.open(Path.home() / "jobs" / job / "map.tif") as dataset:
    same = np.array_equal(dataset.read(1), codes)
print(f"job {job}: the map is {'the same' if same else 'different'}")
