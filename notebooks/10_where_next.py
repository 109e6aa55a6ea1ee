# %% [markdown]
# # 10. Draw, see, and be asked where to look next
#
# So far you drew first and saw a map much later. The map panel can show one after each stroke:
# a small forest learns from what is drawn and maps what you see, in a second or two.
#
# 1. Draw two places of two classes each. Tick **Live preview** below the classes, or press **V**.
# 2. A coarse map comes first, then a fine one. Stripes mark what is like nothing that you drew:
#    a class may be missing there.
# 3. Beside it stands the accuracy in places that were not drawn, with its interval, and by how
#    many points it moved with the last stroke. Few places make the interval long: believe it.
# 4. Press **N**. You are asked about a place: **Y** says yes, a digit chooses another class and
#    **L** labels the frame with it, **K** is for later, **U** says that nobody can tell.
# 5. **Make the whole map** does with the whole scene, as jobs, what the preview does with what
#    you see: samples, a forest of 150 trees, a check of the scene, the map. The jobs are listed
#    on *Run*, where they can be repeated on other scenes.

# %%
from sample_map import SampleMap

m = SampleMap(
    scene="shared/demo-landsat/scene.tif",
    legend={
        "forest": "#117733",
        "water": "#1f78b4",
        "developed": "#cc6677",
        "herbaceous": "#ddcc77",
    },
    name="where-next",
)
m

# %% [markdown]
# ## Does it help to be asked?
#
# You can try that without drawing anything: the demo has labels, and they can answer in your
# place. Half of the polygons are asked about, the other half measures. Each rule begins with the
# same one place of each class and asks for four more, again and again.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from landcover import extract_samples
from landcover.models.methods.random_forest import Options, fit
from landcover.training.cross_validation import predict
from landcover.training.loading import load_samples
from landcover.training.next_places import Told, propose

with tempfile.TemporaryDirectory() as folder:
    cut = extract_samples(
        scene="shared/demo-landsat/scene.tif",
        labels="shared/demo-landsat/labels.gpkg",
        workdir=Path(folder),
    )
    labelled = load_samples([cut.samples], None, with_context=False)
pixels, polygon = labelled.training_set, labelled.ground.places
at = np.floor(labelled.ground.regions[0].at[:, ::-1]).astype(int)  # row and column
print(f"{len(pixels):,} labelled pixels in {len(np.unique(polygon))} polygons")

# %%
ROUNDS, A_ROUND = 6, 4


def curve(rule: str, seed: int) -> list[float]:
    """Return the accuracy on the other half of the polygons after each round."""
    rng = np.random.default_rng(seed)
    half = np.zeros(len(pixels), bool)
    for code in np.unique(pixels.codes):
        own = rng.permutation(np.unique(polygon[pixels.codes == code]))
        half |= np.isin(polygon, own[: -(-len(own) // 2)])
    known, tested = pixels.take(half), pixels.take(~half)
    where, codes = at[half], known.codes
    asked = [int(rng.choice(np.flatnonzero(codes == code))) for code in np.unique(codes)]
    found = []
    for _ in range(ROUNDS):
        near = np.abs(where[:, None] - where[asked]).max(axis=2).min(axis=1) <= 1
        forest = fit(known.take(near), Options(trees=20), seed)  # frames of 3 by 3 pixels
        found.append(float((predict(forest, tested) == tested.codes).mean()))
        percent = 100 * forest.probabilities_at(known)
        told = Told(
            where, forest.codes[percent.argmax(axis=0)], percent, lambda which: known.pixels[which]
        )
        places = dict(zip(*np.unique(codes[asked], return_counts=True), strict=True))
        asked += propose(rule, told, places, where[asked], rng, A_ROUND, apart=4)
    return found


rules = {"fewest": "class with the fewest places", "random": "random", "entropy": "most uncertain"}
curves = {rule: np.array([curve(rule, seed) for seed in range(3)]) for rule in rules}

# %% [markdown]
# Look at how far the three runs of one rule lie apart before you look at the difference between
# rules. `benchmarks/README.md` has many more runs, on seven sets of labels: over all of them no
# rule saved a tenth of the places, and on some the default cost places. What it has for it is
# that everybody understands the question. The panel says the figures beside each rule.

# %%
fig, ax = plt.subplots(figsize=(6, 3.6))
for rule, color in zip(rules, ("#117733", "#888888", "#cc6677"), strict=True):
    for run in curves[rule]:
        ax.plot(range(ROUNDS), run, color=color, alpha=0.3)
    ax.plot(range(ROUNDS), curves[rule].mean(axis=0), color=color, label=rules[rule])
ax.set(xlabel=f"rounds of {A_ROUND} places", ylabel="accuracy in other polygons")
ax.legend()
plt.show()
