# %% [markdown]
# # 4. Check the radiometry: may this model look at that scene?
#
# A classifier has no way of saying "I do not know this". It gives *every* pixel one of its
# classes, also in a scene whose values it has never seen. The authors of the method that this
# geoportal follows learned it the hard way: a model trained on other spectra called their whole
# region water, and nothing warned them. Here the model carries a card with the spectra it
# learned, and a scene is compared with it before anything is classified.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio

from landcover import check_radiometry, classify_scene
from landcover.errors import LandcoverError
from landcover.legend import NODATA, Legend

shared = Path.home() / "shared"
work = Path.home() / "course" / "work"
model = work / "train" / "model.onnx"
check = work / "check"

found = check_radiometry(scene=shared / "demo" / "scene.tif", model=model, workdir=check)
print(f"{found.verdict}: {found.advice}")

# %% [markdown]
# ## A shift that is easily overlooked
#
# In January 2022 Sentinel-2 began to add 1000 to every value (processing baseline 04.00).
# Nothing in the file looks wrong: the same bands, the same names, a plausible picture. Let us
# make such a scene out of ours.

# %%
with rasterio.open(shared / "demo" / "scene.tif") as dataset:
    values, profile, names = dataset.read(), dataset.profile, dataset.descriptions
newer = check / "newer.tif"
profile.update(driver="GTiff", compress="deflate")
with rasterio.open(newer, "w", **profile) as dataset:
    dataset.write(values + 1000)
    dataset.descriptions = names

# %% [markdown]
# Look at both on one map: open *Layers* and switch the upper one off and on. Nothing
# changes, because every picture is stretched between its own percentiles. That is why eyes do not
# find this. *Spectra of the classes* would: its axis shows the values.

# %%
from sample_map import SampleMap

m = SampleMap("shared/demo/scene.tif", name="course", scenes=["home/course/work/check/newer.tif"])
m

# %% [markdown]
# And see what the model makes of the newer one if nobody checks:


# %%
def map_of(scene, radiometry):
    """Classify a scene and return the codes and the legend."""
    folder = check / f"{scene.stem}-{radiometry}"
    made = classify_scene(scene=scene, model=model, radiometry=radiometry, workdir=folder)
    with rasterio.open(made.map) as dataset:
        return dataset.read(1), Legend.from_tag(dataset.tags()["LANDCOVER_LEGEND"])


right, legend = map_of(shared / "demo" / "scene.tif", "refuse")
unchecked, _ = map_of(newer, "ignore")


def shares(codes):
    """Return the share of each class in the classified pixels."""
    return np.array([(codes == c).sum() for c in legend.codes]) / (codes != NODATA).sum()


fig, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
for row, codes in enumerate((unchecked, right)):
    ends = np.cumsum(shares(codes))
    for entry, share, end in zip(legend.classes, shares(codes), ends, strict=True):
        ax.barh(
            row, share, left=end - share, color=entry.color, label=entry.name * (row == 0) or None
        )
ax.set_yticks([0, 1], ["1000 added,\nunchecked", "as it is"])
ax.set(xlim=(0, 1), title="The same land, twice: shares of the classes on the map")
ax.legend(
    ncols=len(legend.classes), loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False
)
plt.show()

first = legend.classes[int(shares(unchecked).argmax())].name
print(f"unchecked, {shares(unchecked).max():.0%} of the region is {first}")
print(f"{(unchecked != right).mean():.0%} of the pixels changed their class")

# %% [markdown]
# ## Why it is refused
#
# `classify_scene` checks first, and stops. The check tells which offset and gain would bring
# each band to what the model knows, and how many pixels lie outside the range it learned.

# %%
try:
    classify_scene(scene=newer, model=model, workdir=check / "refused")
except LandcoverError as error:
    print(error)

found = check_radiometry(scene=newer, model=model, workdir=check / "newer")
pd.read_csv(found.bands).set_index("band").T.round(2)

# %% [markdown]
# ## What to do: harmonise
#
# The verdict is *shifted*: the scene fits after a correction that is known by name. Then
# `radiometry="harmonise"` corrects every pixel on its way to the model; the correction is
# written into the coverage report.

# %%
harmonised, _ = map_of(newer, "harmonise")
print(f"{(harmonised == right).mean():.2%} of the pixels are as on the right map")
json.loads((check / "newer-harmonise" / "coverage.json").read_text())["radiometry"]["advice"]

# %% [markdown]
# ## A gain, which no unit explains
#
# Brightness can change without any unit: the sun stands higher, one product divides by its angle
# and the other does not, a sensor ages. Then every value is multiplied by the same number, and it
# is a number that no table of units holds. Here it is 1.2: the picture looks as before, every
# value stays within what the model has seen in some place, and the map is another one.

# %%
brighter = check / "brighter.tif"
with rasterio.open(brighter, "w", **profile) as dataset:
    dataset.write((values * 1.2).round().astype(values.dtype))
    dataset.descriptions = names

unchecked, _ = map_of(brighter, "ignore")
print(f"{(unchecked != right).mean():.0%} of the pixels changed their class")

found = check_radiometry(scene=brighter, model=model, workdir=check / "brighter")
print(f"{found.verdict}: {found.advice}")

# %% [markdown]
# How can the check know that this is not simply brighter land? The card holds more than the
# labelled pixels: it says what the *whole* scene looked like that the samples were cut from. No
# mixture of that land, however much forest or field, looks like this one, but after dividing by
# 1.2 it fits. Where the model was trained, little is left to chance, and a gain of 1.05 is found.
# In another region other land could do what a small gain does. There more is asked, and a gain
# that cannot be told from another mixture of classes is said in a remark and not corrected.

# %%
harmonised, _ = map_of(brighter, "harmonise")
print(f"{(harmonised == right).mean():.2%} of the pixels are as on the right map")

# %% [markdown]
# ## Which pixels does the model not know?
#
# The check also writes a layer, `unknown.tif`: how much each pixel resembles the training pixels,
# in percent. Dark places are land that nobody labelled. On the scene as it is, there you draw the
# next samples.

# %%
as_it_is = check_radiometry(scene=shared / "demo" / "scene.tif", model=model, workdir=check)
with rasterio.open(as_it_is.unknown) as dataset:
    resemblance = dataset.read(1, masked=True)

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
fig.colorbar(ax.imshow(resemblance, vmin=0, vmax=100), label="resembles training pixels, %")
ax.set_axis_off()
plt.show()
print(f"{(resemblance < 50).mean():.0%} of the pixels resemble no training pixel")

# %% [markdown]
# ## Another sensor
#
# `shared/demo-landsat` is a scene of Landsat 7, in counts of 8 bits. No gain or offset makes a
# Sentinel-2 scene of it. The verdict is *foreign*, and stays so whatever you ask for: draw
# samples on that scene, and train a model of its own.

# %%
found = check_radiometry(
    scene=shared / "demo-landsat" / "scene.tif", model=model, workdir=check / "landsat"
)
print(f"{found.verdict}: {found.advice}")

# %% [markdown]
# ## What the check cannot know
#
# It knows units, gains, haze, the order of bands, broken bands, and spectra that no training pixel
# resembles. It does not know the *season*: a field in May may look like a meadow in February, and
# both are spectra that the model has learned. In a region where the model was not trained it does
# not know a small gain from other land either. For those there is only one remedy, page 6: measure
# the map against a reference of its own year.
#
# **Try it**: exchange two bands of the scene (`values[[1, 0, *range(2, 13)]]`), and read the
# advice.
