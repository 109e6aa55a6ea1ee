# Processes of the geoportal from R, by OGC API - Processes. Needed: httr2, jsonlite.
#
#   source("geoportal.R")
#   job <- geoportal_run("extract-samples", scene = "shared/demo/scene.tif",
#                        labels = "shared/demo/labels.gpkg")
#   geoportal_results(job)$total
#
# In a notebook of the geoportal nothing needs to be set. From elsewhere set GEOPORTAL_WPS_URL
# (https://.../services/wps/) and JUPYTERHUB_API_TOKEN, which the hub's page "Token" makes.

geoportal_request <- function(path) {
  base <- Sys.getenv("GEOPORTAL_WPS_URL")
  token <- Sys.getenv("JUPYTERHUB_API_TOKEN")
  if (base == "" || token == "") {
    stop("GEOPORTAL_WPS_URL and JUPYTERHUB_API_TOKEN are needed", call. = FALSE)
  }
  address <- if (grepl("^https?://", path)) path else paste0(sub("/?$", "/", base), "ogc/", path)
  if (!startsWith(address, sub("/?$", "/", base))) {
    stop(address, " is not of this geoportal, and is sent no token", call. = FALSE)
  }
  httr2::request(address) |>
    httr2::req_headers(Authorization = paste("Bearer", token)) |>
    httr2::req_error(body = geoportal_reason)
}

# The sentence of a refusal.
geoportal_reason <- function(answer) {
  if (grepl("json", httr2::resp_content_type(answer))) {
    httr2::resp_body_json(answer, check_type = FALSE)$detail
  }
}

geoportal_get <- function(path) {
  httr2::resp_body_json(httr2::req_perform(geoportal_request(path)))
}

# The identifiers of all processes.
geoportal_processes <- function() {
  vapply(geoportal_get("processes?limit=1000")$processes, function(each) each$id, "")
}

# What a process takes and gives, one row an input.
geoportal_describe <- function(process) {
  inputs <- geoportal_get(paste0("processes/", process))$inputs
  data.frame(
    input = names(inputs),
    type = vapply(inputs, function(each) each$schema$type, ""),
    needed = vapply(inputs, function(each) each$minOccurs > 0, NA),
    description = vapply(inputs, function(each) each$description, ""),
    row.names = NULL
  )
}

# Start a job and return its id. A vector of length one is a value; a list is a list of files.
# What is written is referred to, not sent.
geoportal_start <- function(process, ...) {
  outputs <- names(geoportal_get(paste0("processes/", process))$outputs)
  by_reference <- lapply(stats::setNames(nm = outputs), function(each) {
    list(transmissionMode = "reference")
  })
  inputs <- list(...)
  if (length(inputs) == 0) inputs <- structure(list(), names = character())
  geoportal_request(paste0("processes/", process, "/execution")) |>
    httr2::req_headers(Prefer = "respond-async") |>
    httr2::req_body_json(
      list(inputs = inputs, outputs = by_reference, response = "document")
    ) |>
    httr2::req_perform() |>
    httr2::resp_body_json() |>
    getElement("jobID")
}

geoportal_status <- function(job) geoportal_get(paste0("jobs/", job))

# Wait for the end of a job; its remarks are warnings, its failure is an error.
geoportal_wait <- function(job, seconds = 1) {
  repeat {
    status <- geoportal_status(job)
    if (!status$status %in% c("accepted", "running")) break
    Sys.sleep(seconds)
  }
  for (remark in status$remarks) warning(remark, call. = FALSE)
  if (status$status != "successful") stop(status$message, call. = FALSE)
  job
}

# Start a job, wait for its end, and return its id.
geoportal_run <- function(process, ...) geoportal_wait(geoportal_start(process, ...))

# The results by name: figures, and of what was written a list with href, type and title, which is
# its name in the storage and may be the input of the next process.
geoportal_results <- function(job) geoportal_get(paste0("jobs/", job, "/results"))

# Save a written result, and return the name of the file. The names of a map's classes lie in a
# file beside it, which comes along.
geoportal_save <- function(result, path = basename(result$href)) {
  httr2::req_perform(geoportal_request(result$href), path = path)
  names <- geoportal_request(paste0(result$href, ".aux.xml")) |>
    httr2::req_error(is_error = function(answer) !httr2::resp_status(answer) %in% c(200, 404)) |>
    httr2::req_perform()
  if (httr2::resp_status(names) == 200) {
    writeBin(httr2::resp_body_raw(names), paste0(path, ".aux.xml"))
  }
  path
}

geoportal_dismiss <- function(job) {
  geoportal_request(paste0("jobs/", job)) |>
    httr2::req_method("DELETE") |>
    httr2::req_perform() |>
    httr2::resp_body_json()
}
