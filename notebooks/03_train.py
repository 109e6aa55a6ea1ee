# %% [markdown]
# # 3. Train a classifier, and measure it honestly
#
# A random forest asks a few hundred decision trees and lets them vote. It needs little tuning,
# and takes noisy labels in its stride. Training takes seconds; the harder question is how good the
# result will be where nobody has drawn anything.

# %%
import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt

from landcover import train_classifier
from landcover.legend import color_of

work = Path.home() / "course" / "work"

training = train_classifier(
    samples=work / "extract" / "samples",
    selection=work / "balance" / "selection.csv",
    method="random-forest",
    workdir=work / "train",
)
report = json.loads(training.report.read_text())
lower, upper = report["accuracy_spatial_interval"]
print(f"accuracy in places not trained on: {training.accuracy:.1%} ({lower:.1%} to {upper:.1%})")

# %% [markdown]
# ## Two figures, and the gap between them
#
# Split *pixels* at random, and a pixel's neighbour in the same field is in the training set. The
# test then asks whether the model remembers the field, not whether it knows fields. Split by
# *place*, and it must recognise fields it has never seen, which is what a map is for. Polygons
# that lie so close together that their pixels are still alike count as one place. The second
# figure is the one to report, and it is nearly always the smaller one.
#
# The line on its bar is the interval of 95 %: with other places, drawn in the same way, the figure
# would lie in it 19 times out of 20. Few places make it long; more *pixels* in them do not help.

# %%
figures = {
    "by place\n(report this)": report["accuracy_spatial"],
    "at random\n(too optimistic)": report["accuracy_random"],
}

fig, ax = plt.subplots(figsize=(5, 3.4))
bars = ax.bar(figures.keys(), figures.values(), color=["#117733", "#bbbbbb"], width=0.55)
ax.bar_label(bars, fmt=lambda share: f"{share:.0%}", label_type="center")
ax.vlines(0, lower, upper, color="black")
title = f"{report['groups']} places; the gap is {report['gap']:.0%}"
ax.set(ylim=(0, 1), ylabel="overall accuracy", title=title)
plt.show()

# %% [markdown]
# ## Class by class
#
# * **User's accuracy** (PPV): of what the model calls forest, how much is forest?
# * **Producer's accuracy** (TPR, recall): of the real forest, how much does the model find?
#
# A class can have one without the other. Villages are mixtures of roofs, gardens and trees, so
# *residential* is recognised badly in new places; a good overall figure would hide that.

# %%
per_class = report["per_class"]
places = range(len(per_class))
colors = [color_of(name, code) for code, name in enumerate(per_class, 1)]

fig, ax = plt.subplots(figsize=(8, 3.6))
ax.bar([x - 0.2 for x in places], [c["ppv"] or 0 for c in per_class.values()], 0.38, color=colors)
ax.bar(
    [x + 0.2 for x in places],
    [c["tpr"] or 0 for c in per_class.values()],
    0.38,
    color=colors,
    alpha=0.45,
)
ax.set_xticks(places, per_class)
ax.set(ylim=(0, 1), title="full: user's accuracy (PPV), pale: producer's accuracy (TPR)")
plt.show()

# %% [markdown]
# ## Where does it go wrong?
#
# Look at the samples of the weakest class, one after the other: open *Samples* beside the map and
# click.
# A village with its gardens outlined as one polygon teaches that gardens are *residential*.
# **Split** such a sample, **cut out** what is something else, or delete it; then run pages 2 and 3
# again. An hour here is worth more than any setting of the method.

# %%
from sample_map import SampleMap

m = SampleMap("shared/demo/scene.tif", name="course")
m

# %% [markdown]
# ## Which bands tell the classes apart?
#
# In places not trained on, the values of one band are exchanged for others: by how much does the
# accuracy fall? A band that loses nothing may still be right: others then say the same.

# %%
with training.importance.open() as file:
    bands = list(csv.DictReader(file))

fig, ax = plt.subplots(figsize=(8, 3.6))
ax.bar(
    [band["band"] for band in bands],
    [100 * float(band["importance"]) for band in bands],
    yerr=[100 * float(band["deviation"]) for band in bands],
    color="#332288",
)
ax.set(ylabel="accuracy lost, percentage points", title="Importance of each band")
plt.show()

# %% [markdown]
# ## The model is one file
#
# `model.onnx` is an open format that many programs read; it holds no code that could run when you
# open it. Its *card* travels inside: which bands in which order, which classes, the statistics of
# the training pixels, and the two figures above. A model without them is a guess.

# %%
import onnx

stored = {p.key: p.value for p in onnx.load(training.model).metadata_props}
card = json.loads(stored["landcover.card"])
print(f"{training.model.name}, {training.model.stat().st_size / 1e6:.1f} MB")
print("bands   ", ", ".join(band["name"] for band in card["bands"]))
print("classes ", ", ".join(f"{c['code']} {c['name']}" for c in card["legend"]))
print("made    ", "with", card["method"], card["options"], "seed", card["seed"])

# %% [markdown]
# **Try it**: leave out `selection`, so that all samples are used. Does the figure *by place* rise?
# Or set `method="gradient-boosting"`, or `options='{"trees": 500}'`. Compare the figures by place,
# never those at random. What was run, when and by whom stands in `run.json` beside the model.
#
# **Which method?** With few places per class, as here, the random forest: in our tests
# (`benchmarks/README.md`) boosted trees lost where some thirty polygons taught them. With
# thousands of labelled pixels from fifty places and more they were level with it or a point
# better, their models are five to twenty times smaller, and a map takes a fifth of the time.
