# %% [markdown]
# # 3. Train a classifier, and measure it honestly
#
# A random forest asks a few hundred decision trees and lets them vote. It needs little tuning,
# and takes noisy labels in its stride. Training takes seconds; the harder question is how good the
# result will be where nobody has drawn anything.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt

from landcover import train_classifier
from landcover.legend import color_of

work = Path.home() / "course" / "work"
(work / "train").mkdir(parents=True, exist_ok=True)

training = train_classifier(
    samples=work / "extract" / "samples",
    selection=work / "balance" / "selection.csv",
    method="random-forest",
    workdir=work / "train",
)
print(f"accuracy in places not trained on: {training.accuracy:.1%}")

# %% [markdown]
# ## Two figures, and the gap between them
#
# Split *pixels* at random, and a pixel's neighbour in the same field is in the training set. The
# test then asks whether the model remembers the field, not whether it knows fields. Split by
# *place* (here: by polygon), and it must recognise fields it has never seen, which is what a map
# is for. The second figure is the one to report, and it is nearly always the smaller one.

# %%
report = json.loads(training.report.read_text())
figures = {
    "by place\n(report this)": report["accuracy_spatial"],
    "at random\n(too optimistic)": report["accuracy_random"],
}

fig, ax = plt.subplots(figsize=(5, 3.4))
bars = ax.bar(figures.keys(), figures.values(), color=["#117733", "#bbbbbb"], width=0.55)
ax.bar_label(bars, fmt=lambda share: f"{share:.0%}")
ax.set(ylim=(0, 1), ylabel="overall accuracy", title=f"The gap is {report['gap']:.0%}")
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
# Look at the samples of the weakest class, one after the other: open *List of samples* and click.
# A village with its gardens outlined as one polygon teaches that gardens are *residential*.
# **Split** such a sample, **cut out** what is something else, or delete it; then run pages 2 and 3
# again. An hour here is worth more than any setting of the method.

# %%
from sample_map import SampleMap

m = SampleMap("shared/demo/scene.tif", name="course")
m

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
print("made    ", card["created"], "with", card["method"])

# %% [markdown]
# **Try it**: leave out `selection`, so that all samples are used. Does the figure *by place* rise?
# Or set `method="gradient-boosting"`. Compare the figures by place, never those at random.
