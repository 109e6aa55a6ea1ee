# %% [markdown]
# # 2. Balance the samples
#
# Polygons are drawn where it is easy. A large field gives thousands of pixels that look alike, a
# village pond gives twelve, and a classifier that sees a thousand times more field than pond
# learns to call everything a field. This page cuts samples out of the scene and then thins them
# out, so that rare spectra survive and frequent ones do not drown them.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas

from landcover import balance_samples, extract_samples
from landcover.legend import color_of
from landcover.samples.folder import read_samples

demo = Path.home() / "shared" / "demo"
work = Path.home() / "course" / "work"

labels = Path.home() / "samples" / "course.geojson"  # page 1 made it

# %% [markdown]
# ## The samples of page 1
#
# The legend counts them, in pieces and in area, and says how unequal the classes are. Open
# *Values*, *Spectra of the classes*: a line for the mean of each class, a band for its spread.

# %%
from sample_map import SampleMap

m = SampleMap("shared/demo/scene.tif", name="course")
m

# %% [markdown]
# ## From polygons to samples
#
# A pixel belongs to a polygon if its centre lies inside; pixels that two classes claim are left
# out. `max_per_class` draws so many of each class at random, to keep this course quick.
#
# Every operation works like this: inputs by name, a folder to write to, and a result that says
# what was written.

# %%
extraction = extract_samples(
    scene=demo / "scene.tif",
    labels=labels,
    max_per_class=2000,
    workdir=work / "extract",
)
extraction

# %% [markdown]
# ## What the classes look like
#
# The line is the median of a class, the band holds half of its pixels. Where two bands lie upon
# each other, no classifier can tell the classes apart from one pixel. *Water* is dark in the
# infrared. The others overlap almost everywhere on this winter day: most of all *residential*,
# which lies in the middle of everything. That is the reason for modest figures later. (B10, at
# 1375 nm, sees no ground at all, only high cloud.)

# %%
samples = read_samples(extraction.samples)
centres = np.array([band.wavelength for band in samples.bands])
order = np.argsort(centres)

fig, ax = plt.subplots(figsize=(11, 4.5))
for container in samples.containers:
    name = container.file.split("/")[0]
    pixels = container.chips[:, order, 0, 0] / 10000  # (N, bands), reflectance
    low, median, high = np.percentile(pixels, (25, 50, 75), axis=0)
    color = color_of(name, container.code)
    ax.plot(centres[order], median, "o-", color=color, label=name)
    ax.fill_between(centres[order], low, high, color=color, alpha=0.2)
ax.set(xlabel="wavelength (nm)", ylabel="reflectance at the top of the atmosphere")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Thin out what is frequent
#
# The samples of each class are sorted into clusters of similar spectra. A cluster of fewer than
# `threshold` samples is rare and kept whole; of a larger one, every n-th is kept. So what goes is
# repetition, not variety. A remark says what was thinned of each class.
#
# Source: Avramenko, Popova, Fedorov, CEUR-WS 2984 (2021).

# %%
balance = balance_samples(
    samples=extraction.samples,
    clusters=8,
    threshold=200,
    workdir=work / "balance",
)
print(f"{balance.before} samples before, {balance.after} after")

# %%
from IPython.display import Image

Image(filename=balance.diagram, width=760)

# %% [markdown]
# What this did to each class. Each began with 2000 samples; the classes with the more varied
# spectra kept more of them.

# %%
selection = pandas.read_csv(balance.selection)
by_class = selection.groupby("class")["kept"].agg(["size", "sum"])

fig, ax = plt.subplots(figsize=(8, 3.2))
colors = [color_of(name, code) for code, name in enumerate(by_class.index, 1)]
ax.bar(by_class.index, by_class["size"], color=colors, alpha=0.3, label="before")
ax.bar(by_class.index, by_class["sum"], color=colors, width=0.5, label="kept")
ax.set(ylabel="samples", title="pale: before, full: kept")
plt.show()

# %% [markdown]
# **When to balance**: when there are more samples than you can or want to train on and rare
# spectra must survive. If you can train on all samples, do, because in our tests on real ones
# (`benchmarks/README.md`) thinning cost accuracy and gained nothing over a forest that weighs
# classes, as ours does.
#
# **Try it**: a `threshold` of 50 keeps far fewer. Page 3 tells you whether that was too few.
# `scope="all"` clusters the samples of all classes together, as the paper does. In our tests that
# was no better than random thinning: a rare class that looks like a frequent one is thinned with
# it, which a remark then says.
