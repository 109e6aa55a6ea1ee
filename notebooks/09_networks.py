# %% [markdown]
# # 9. When a network is worth it
#
# A forest looks at one pixel, or at the mean and deviation of a small window. A network learns
# what to look at around a pixel. That can help, and it can cost accuracy: it has far more to
# learn from the same few places. So we never ask which method is better in general, but which
# one is better **in places that neither has seen**, on these samples.
#
# Two networks are offered:
#
# * `chip-cnn` gives a pixel the class of the small square around it. It learns in seconds, from
#   chips or from samples with `context`.
# * `unet` maps whole squares at once. It needs `patches`, which hold every labelled pixel once.
#
# Both are trained by PyTorch, which is not part of a plain installation. A model that is
# trained needs no PyTorch to make maps: you can train on one machine and map on another.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from landcover import extract_samples, train_classifier
from landcover.errors import LandcoverError

work = Path.home() / "course" / "work" / "networks"
scene = "shared/demo-landsat/scene.tif"

# %% [markdown]
# ## Samples with what surrounds them
#
# `context=4` keeps four pixels around each sample on every side, a square of 9 x 9. The forest
# uses it too: with a context of 3 pixels or more it looks at windows of 3 and 7 pixels, which is
# the cheapest gain there is. Try that before any network.

# %%
samples = extract_samples(
    scene=scene,
    labels="shared/demo-landsat/labels.gpkg",
    context=4,
    max_per_class=60,
    workdir=work / "extract",
).samples

# %% [markdown]
# This is what the network gets to see of a pixel of each class, in three of the bands:

# %%
folders = sorted(path for path in samples.iterdir() if path.is_dir())
fig, axes = plt.subplots(1, len(folders), figsize=(9, 2))
for folder, ax in zip(folders, axes, strict=True):
    container = next(path for path in sorted(folder.glob("*.npy")) if path.name.count(".") == 1)
    chip = np.load(container)[0, 2::-1].astype(float)  # (bands, 9, 9)
    ax.imshow(np.moveaxis((chip - chip.min()) / (np.ptp(chip) or 1), 0, -1))
    ax.set_title(folder.name, fontsize=8)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## The network, and the forest on the same folds
#
# The report measures three things in the same unseen places: the network, the random forest, and
# the mean of both. A remark says in words which to use. Where the gain may be chance, it says so.

# %%
try:
    training = train_classifier(
        samples=samples, method="chip-cnn", options='{"steps": 150}', workdir=work / "train"
    )
    report = json.loads(training.report.read_text())
except LandcoverError as error:
    report = None
    print(error)  # without PyTorch: how to install it

# %%
if report:
    methods = report["beside"]["methods"]
    fig, ax = plt.subplots(figsize=(6, 3.4))
    bars = ax.bar(list(methods), [one["accuracy"] for one in methods.values()], color="#117733")
    ax.bar_label(bars, fmt=lambda share: f"{share:.0%}", label_type="center")
    ax.set(ylim=(0, 1), ylabel="accuracy in unseen places")
    plt.show()
    print(next(said for said in report["remarks"] if said.startswith("on the same folds")))

# %% [markdown]
# ## Has it learned enough?
#
# The loss of each step. If it still falls at the end, give it more `steps`. With the option
# `held_out`, such as 0.1, some places are kept aside in training, the line `loss_held_out` shows
# them, and the weights that did best there are taken: where that line rises while the other falls,
# the network learns by heart. `unet` does so by default; `chip-cnn` does not, for it lost three
# points on Brandenburg's chips, and one in Chiapas, where places are few.

# %%
if report:
    fig, ax = plt.subplots(figsize=(6, 3))
    for name in ("loss", "loss_held_out"):
        points = [point for point in report["losses"] if name in point]
        if points:
            ax.plot([p["step"] for p in points], [p[name] for p in points], label=name)
    ax.set(xlabel="step", ylabel="loss")
    ax.legend()
    plt.show()

# %% [markdown]
# ## What to expect
#
# Measured on places not trained on (`benchmarks/README.md` has the table):
#
# * Chips of 16 x 16 Sentinel-2 pixels, 8 classes: `chip-cnn` 79 %, a forest on the mean and
#   deviation of each band 73 %, a forest on the centre pixel 68 %.
# * Thirty clean polygons of large shapes on Landsat: `unet` 89 %, the forest 82 %, with windows
#   85 %; but its learning rate was chosen on these places, so expect less of it on yours.
# * Hundreds of small, noisy polygons: expect a U-Net to lose to the forest with windows.
#
# So: windows for the forest first, a network or the mean of both where the report says that it
# gains. `classify-scene` takes both models and averages them.
#
# **Another scene, few polygons?** `start` continues the training of a model of the same method
# and bands: `train_classifier(..., method="chip-cnn", start="model.onnx")`. Hold the figure
# against that of a forest on the few polygons: the report has it beside.
