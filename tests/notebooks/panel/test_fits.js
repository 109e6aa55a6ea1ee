import { layersOf, nextAfter, offersFor, prefilled } from "/panel/fits.js";
import { equal } from "./expect.js";

const input = (name, more = {}) => ({
  name,
  kind: "file",
  required: true,
  endings: [],
  offers: [],
  folders: false,
  ...more,
});
const job = (id, inputs, outputs, state = "successful") => ({
  id,
  operation: id,
  state,
  inputs,
  outputs: Object.fromEntries(
    Object.entries(outputs).map(([name, file]) => [name, { name: `home/jobs/${id}/${file}` }]),
  ),
});

const LAYERS = [
  { kind: "map", name: "home/jobs/old/map.tif" },
  { kind: "confidence", name: "home/jobs/old/confidence.tif" },
  { kind: "scene", name: "shared/top.tif" },
  { kind: "scene", name: "shared/below.tif" },
];
const SAMPLES = "home/samples/a.geojson";
const CUT = job("cut", { scene: "shared/top.tif" }, { samples: "samples", counts: "counts.csv" });
const OTHER = job("other", { scene: "shared/b.tif" }, { samples: "samples" });
const BALANCED = job(
  "balanced",
  { samples: ["home/jobs/cut/samples"] },
  { selection: "selection.csv" },
);

export function formBeginsWithWhatIsOnTheMapAndWithTheLastOutputs() {
  const sources = { layers: LAYERS, samples: SAMPLES, jobs: [BALANCED, CUT] };
  const names = ["scene", "scenes", "labels", "map", "first", "second"].map((name) => input(name));
  equal(prefilled(names, sources), {
    scene: ["shared/top.tif"],
    scenes: ["shared/top.tif", "shared/below.tif"],
    labels: [SAMPLES],
    map: ["home/jobs/old/map.tif"],
    first: ["home/jobs/old/map.tif"],
    second: [],
  });
}

export function whatMayBeEmptyIsTakenOnlyFromAJobThatReadTheSame() {
  const inputs = [
    input("samples", { kind: "folder" }),
    input("selection", { required: false }),
    input("seed", { kind: "int", required: false }),
  ];
  const sources = { layers: [], samples: "", jobs: [BALANCED, CUT, OTHER] };
  const own = {
    samples: ["home/jobs/cut/samples"],
    selection: ["home/jobs/balanced/selection.csv"],
  };
  equal(prefilled(inputs, sources), own);
  const others = { samples: ["home/jobs/other/samples"], selection: [] };
  equal(prefilled(inputs, sources, OTHER), others);
}

export function jobThatFailedFillsNothingIn() {
  const failed = { ...CUT, state: "failed" };
  const found = prefilled([input("samples")], { layers: [], samples: "", jobs: [failed, OTHER] });
  equal(found, { samples: ["home/jobs/other/samples"] });
}

export function offersAreOfTheRightKindAndTheLikeliestFirst() {
  const names = ["home/dem.tif", "home/a.zip", SAMPLES];
  const sources = { layers: LAYERS, samples: SAMPLES, jobs: [CUT], names };
  const map = input("map", { endings: [".tif"], offers: ["map.tif"] });
  equal(offersFor(map, sources), [
    "home/jobs/old/map.tif",
    "shared/top.tif",
    "shared/below.tif",
    "home/dem.tif",
  ]);
  equal(offersFor(input("samples", { kind: "folder" }), sources), ["home/jobs/cut/samples"]);
  equal(offersFor(input("seed", { kind: "int" }), sources), []);
  const rules = input("rules", { endings: [".json"], named: ["sea-ice"] });
  equal(offersFor(rules, sources), ["sea-ice"]);
}

export function nextOperationIsTheFirstThatNeedsWhatWasWritten() {
  const operations = [
    { identifier: "cut", inputs: [input("scene")] },
    { identifier: "balanced", inputs: [input("samples")] },
    { identifier: "train", inputs: [input("samples"), input("selection", { required: false })] },
  ];
  equal(nextAfter(CUT, operations), "balanced");
}

export function afterThatComesWhatMayTakeItOrNeedsTheSame() {
  const train = [input("samples"), input("selection", { required: false })];
  const operations = [
    { identifier: "balanced", inputs: [input("samples")] },
    { identifier: "train", inputs: train },
    { identifier: "check", inputs: [input("scene"), input("model")] },
    { identifier: "classify", inputs: [input("scene"), input("model")] },
    { identifier: "compare", inputs: [input("first")] },
  ];
  equal(nextAfter(BALANCED, operations), "train");
  const checked = job("check", { scene: "a.tif", model: ["m.onnx"] }, { verdict: "v" });
  equal(nextAfter(checked, operations), "classify");
  equal(nextAfter(job("classify", checked.inputs, {}), operations), "classify");
}

export function classesKeepTheColoursInWhichTheyWereDrawn() {
  const inputs = [input("labels"), input("legend", { required: false })];
  const sources = { layers: [], samples: SAMPLES, jobs: [] };
  equal(prefilled(inputs, sources), { labels: [SAMPLES], legend: [SAMPLES] });
  equal(prefilled(inputs, { ...sources, samples: "" }), { labels: [], legend: [] });
  equal(prefilled([input("reference"), inputs[1]], sources), { reference: [], legend: [] });
}

export function mapBringsWhatBelongsToItAndOtherRastersLieInTheirOrder() {
  const map = job("m", {}, { map: "map.tif", confidence: "confidence.tif", coverage: "c.json" });
  equal(layersOf(map), ["home/jobs/m/map.tif"]);
  const mask = job("k", {}, { mask: "mask.tif", confidence: "confidence.tif" });
  equal(layersOf(mask), ["home/jobs/k/confidence.tif", "home/jobs/k/mask.tif"]);
  equal(layersOf(CUT), []);
}
