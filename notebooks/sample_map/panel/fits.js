// Which names fit an input of an operation: what is on the map, and what earlier jobs wrote.

// Sources are what there is to read: {layers: [{kind, name}] the topmost first, samples: the file
// of the drawn samples, or empty while there are none, jobs: the newest first, names: of files in
// the storage}.

function written(jobs) {
  return jobs
    .filter((job) => job.state === "successful")
    .flatMap((job) =>
      Object.entries(job.outputs).map(([output, { name }]) => ({ job, output, name })),
    )
    .filter(({ name }) => name);
}

const namesOf = (layers, kind) => layers.filter((one) => one.kind === kind).map((one) => one.name);

/** Names worth offering for an input, the likeliest first. */
export function offersFor(input, { layers, samples, jobs, names }) {
  if (input.kind !== "file" && input.kind !== "folder") return [];
  const outputs = written(jobs).map(({ name }) => name);
  const shown = [...namesOf(layers, "scene"), ...namesOf(layers, "map")];
  const all = [...new Set([...shown, samples, ...outputs, ...names])].filter((name) => name);
  const fitting = all.filter((name) => isOfKind(input, name));
  const isOffered = (name) => input.offers.includes(name.split("/").pop());
  const files = [...fitting].sort((a, b) => isOffered(b) - isOffered(a) || 0);
  return [...(input.named ?? []), ...files];
}

function isOfKind({ kind, endings, folders }, name) {
  const last = name.split("/").pop();
  if (!last.includes(".")) return kind === "folder" || folders;
  if (kind === "folder") return false;
  return !endings.length || endings.some((ending) => last.toLowerCase().endsWith(ending));
}

/**
 * The values with which a form begins, by name, each a list.
 *
 * preferred: a job whose outputs come before those of others. What may be left empty is taken from
 * a job only if that read a file that this form names too.
 */
export function prefilled(inputs, sources, preferred = null) {
  const jobs = preferred ? [preferred, ...sources.jobs] : sources.jobs;
  const found = {};
  const paths = inputs.filter(({ kind }) => kind === "file" || kind === "folder");
  for (const input of paths.filter(({ required }) => required)) {
    found[input.name] = needed(input, { ...sources, jobs });
  }
  const named = new Set(Object.values(found).flat());
  for (const input of paths.filter(({ required }) => !required)) {
    if (input.name === "legend" && isDrawn(found.labels, sources)) {
      found.legend = [sources.samples]; // classes keep the colours in which they were drawn
      continue;
    }
    const fitting = written(jobs).find(
      ({ job, output }) => output === input.name && readsOneOf(job, named),
    );
    found[input.name] = fitting ? [fitting.name] : [];
  }
  return found;
}

function needed({ name }, { layers, samples, jobs }) {
  const scenes = namesOf(layers, "scene");
  const maps = namesOf(layers, "map");
  const made = written(jobs).filter(({ output }) => output === name);
  if (name === "scene") return scenes.slice(0, 1);
  if (name === "scenes") return scenes;
  if (name === "labels") return samples ? [samples] : [];
  if (name === "first") return maps.slice(0, 1);
  if (name === "second") return maps.slice(1, 2);
  if (name === "map" && maps.length) return maps.slice(0, 1);
  return made.slice(0, 1).map((one) => one.name);
}

const isDrawn = (labels, { samples }) => Boolean(samples) && labels?.[0] === samples;

function readsOneOf(job, names) {
  return Object.values(job.inputs)
    .flat()
    .some((value) => names.has(value));
}

/**
 * The next operation that needs what a job wrote, or else may take it, or else needs only what the
 * job read; the job's own if there is none.
 */
export function nextAfter(job, operations) {
  const place = operations.findIndex((one) => one.identifier === job.operation);
  const later = operations.slice(place + 1);
  const next =
    later.find(({ inputs }) => inputs.some((one) => one.required && one.name in job.outputs)) ??
    later.find(({ inputs }) => inputs.some((one) => one.name in job.outputs)) ??
    later.find(({ inputs }) => inputs.every((one) => !one.required || one.name in job.inputs));
  return next?.identifier ?? job.operation;
}

/** The GeoTIFFs of a job in the order in which they are laid on the map. */
export function layersOf(job) {
  const names = Object.values(job.outputs)
    .map(({ name }) => name)
    .filter((name) => name?.endsWith(".tif"));
  const map = names.find((name) => name.endsWith("/map.tif"));
  return map ? [map] : names.reverse(); // what belongs to a map comes with it
}
