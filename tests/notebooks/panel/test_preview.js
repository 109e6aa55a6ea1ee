import { movedBy, stepsOfMap } from "/panel/preview.js";
import { equal } from "./expect.js";

const told = (accuracy, low, high) => ({
  accuracy_spatial: accuracy,
  accuracy_spatial_interval: [low, high],
});

export function accuracyMovesByPointsAndMoreThanChanceOnlyBeyondHalfTheInterval() {
  equal(movedBy(told(0.75, 0.5, 1), told(0.5, 0.2, 0.8)), { points: 25, isClear: false });
  equal(movedBy(told(0.75, 0.7, 0.8), told(0.5, 0.2, 0.8)), { points: 25, isClear: true });
}

export function nothingMovesWhereThereIsNoAccuracy() {
  const none = { accuracy_spatial: null, accuracy_spatial_interval: null };
  equal(movedBy(told(0.75, 0.5, 1), undefined), null);
  equal(movedBy(told(0.75, 0.5, 1), none), null);
  equal(movedBy(none, told(0.75, 0.5, 1)), null);
}

export function wholeMapIsCutTrainedCheckedAndClassified() {
  const steps = stepsOfMap("shared/a.tif", "home/samples/a.geojson", true);
  equal(
    steps.map(({ operation }) => operation),
    ["extract-samples", "train-classifier", "check-radiometry", "classify-scene"],
  );
  equal(steps[0].inputs, {
    scene: ["shared/a.tif"],
    labels: "home/samples/a.geojson",
    legend: "home/samples/a.geojson",
    context: 3,
  });
  equal(steps[3].inputs, { scene: "shared/a.tif", model: [{ step: 1, output: "model" }] });
  equal(stepsOfMap("a", "b", false)[0].inputs.context, 0);
}
