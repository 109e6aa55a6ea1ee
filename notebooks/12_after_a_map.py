# %% [markdown]
# # 12. After a map
#
# A map is tidied, measured, compared with that of another year, and handed on. Each step is one
# function, one form of *Run* on the map, and one command.
#
# ## Tidy it
#
# Single pixels of another class are mostly errors, and always trouble for whoever draws the map.
# `sieve_map` gives patches of fewer than `pixels` pixels to their largest neighbour. The tidied
# map is another map: what page 6 measured does not hold for it.

# %%
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image

from landcover import detect_changes, export_map, polygonize_map, sieve_map, tabulate_areas

work = Path.home() / "course" / "work"
classified = work / "classify" / "map.tif"

tidied = sieve_map(map=classified, pixels=9, workdir=work / "sieve")
print(f"{tidied.changed:.1%} of the pixels have another class now")

# %% [markdown]
# ## Measure it
#
# `tabulate_areas` counts hectares on the ellipsoid, whole or by district (`zones`), for one map or
# for those of several years.

# %%
areas = tabulate_areas(map=[classified, tidied.map], workdir=work / "areas")
table = pd.read_csv(areas.areas)
table.pivot_table("hectares", "class", "map", sort=False).round(1)

# %%
Image(filename=areas.figure, width=700)

# %% [markdown]
# These figures carry the errors of the map: if half of what it calls *residential* is something
# else, so are half of the hectares. The points of page 6, labelled and given as `reference`, say
# how much there really is, with intervals; of several maps each needs points of its own, given as
# `reference=[points_2020, points_2024]`.
#
# ## What changed?
#
# Now the trap that most reports on land-cover change fall into. The two maps below are of *one*
# scene, so nothing can have changed; only the unsure pixels were mapped in another way, as a
# second model would.

# %%
changes = detect_changes(
    first=classified, second=work / "compare" / "other.tif", workdir=work / "changes"
)
print(f"{changes.changed:.1%} of the area seems to have changed")
pd.read_csv(changes.transitions).head(5)

# %% [markdown]
# That is no change, that is disagreement. Between maps of two years both are in the table, and
# nothing but a sample tells them apart: draw points from the change map, look at the imagery of
# both dates, and label each point `unchanged`, or as in the legend (`farm to forest`). Here we
# know the answer without looking.

# %%
from landcover import draw_reference_sample

sample = draw_reference_sample(map=changes.changes, per_class=30, workdir=work / "change-points")
points = geopandas.read_file(sample.points)
points["class"] = "unchanged"
points.to_file(work / "change-points" / "labelled.gpkg")

measured = detect_changes(
    first=classified,
    second=work / "compare" / "other.tif",
    reference=work / "change-points" / "labelled.gpkg",
    workdir=work / "changes-measured",
)
measured.report

# %% [markdown]
# The report now says how much really changed, and between which limits the truth lies in 95 of 100
# cases. `impossible="residential to forest"` names transitions that cannot be: their share is a
# lower bound of the errors.
#
# ## As polygons
#
# For those who work with vectors: patches as polygons that meet without gaps, in a GeoPackage that
# QGIS draws in the map's colours. `simplify=1.5` makes outlines smoother.

# %%
polygons = polygonize_map(map=tidied.map, pixels=9, workdir=work / "polygons")
frame = geopandas.read_file(polygons.polygons, layer="polygons")
print(f"{polygons.count:,} polygons")

fig, ax = plt.subplots(figsize=(7, 6))
frame.plot(column="class", legend=True, ax=ax, cmap="tab10")
ax.set_axis_off()
plt.show()

# %% [markdown]
# ## Hand it on
#
# One zip with the map, its legend as a table, styles for QGIS and others, a picture, metadata, and
# a README in two languages that says how accurate it is. The assessment must be of this very map;
# without a licence nobody may use what you hand on.

# %%
package = export_map(
    map=classified,
    title="Land cover of the course",
    author="me",
    licence="CC-BY-4.0",
    assessment=work / "assess",
    workdir=work / "package",
)
package.package
