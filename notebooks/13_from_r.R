# %% [markdown]
# # 13. The same from R
#
# The geoportal speaks two standards of the Open Geospatial Consortium: WPS, which page 5 used, and
# its successor *OGC API - Processes*, which is plain JSON over HTTP. Both start the same jobs. R
# needs `httr2` and `jsonlite` for that, and `terra` to look at the map. This page needs no page
# before it: it makes its samples, its model and its map itself.
#
# `geoportal.R`, in this folder, is a hundred lines around `httr2`; read it, copy it, change it. Your
# server knows where the service is, and holds a token that says who you are.

# %%
source("geoportal.R")
geoportal_processes()

# %% [markdown]
# What does a process take? The same description stands behind the command line, the form in the
# browser and the function in Python.

# %%
geoportal_describe("extract-samples")[, c("input", "type", "needed")]

# %% [markdown]
# ## From labels to a map
#
# `geoportal_run` starts a job and waits for its end. It goes on if you close the browser: then its
# id is all that you need. What a job wants you to know, its *remarks*, comes as warnings; read
# them.

# %%
extracted <- geoportal_run(
  "extract-samples",
  scene = "shared/demo/scene.tif",
  labels = "shared/demo/labels.gpkg",
  max_per_class = 300
)
samples <- geoportal_results(extracted)
samples$total

# %% [markdown]
# A written result is referred to, not sent. Its `title` is its name in the storage, with which the
# next job begins; nothing is sent to you and back.

# %%
trained <- geoportal_run("train-classifier", samples = samples$samples$title)
model <- geoportal_results(trained)
model$model$title

# %%
classified <- geoportal_run(
  "classify-scene",
  scene = "shared/demo/scene.tif",
  model = model$model$title
)
map_of_job <- geoportal_results(classified)$map
map_of_job$href

# %% [markdown]
# ## Look at the map
#
# `home/...` is your home folder, so `terra` could open the map where it lies. From another computer
# you save it first, as here; the file with the names of its classes comes along.

# %%
library(terra)

saved <- geoportal_save(map_of_job, tempfile(fileext = ".tif"))
map <- rast(saved)
map

# %%
plot(map, 1, type = "classes", main = "Land cover, computed from R")

# %% [markdown]
# How large is each class, in pixels? (Areas by counting pixels are biased as the map is: page 12.)

# %%
freq(map[[1]])

# %% [markdown]
# ## When something is wrong
#
# A refusal says what was found and what is needed, and no job is made.

# %%
tryCatch(
  geoportal_run("classify-scene", scene = "shared/demo/nothing.tif", model = model$model$title),
  error = function(refused) cat(conditionMessage(refused))
)
