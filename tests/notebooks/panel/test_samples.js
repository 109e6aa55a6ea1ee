import { Samples, UNKNOWN_COLOR } from "/panel/samples.js";
import { equal } from "./expect.js";

const summary = { file: "f", legend: [{ name: "water", color: "#0000ff" }], undo: 1, redo: 0 };
const point = (id, more) => ({
  id,
  properties: { class: "water", ...more },
  geometry: { type: "Point", coordinates: [1, 2] },
});

function received(...features) {
  const samples = new Samples();
  const bytes = new TextEncoder().encode(JSON.stringify(features));
  samples.receive({ ...summary, conflicts: [] }, [new DataView(bytes.buffer)]);
  return samples;
}

export function newsReplaceAddAndRemove() {
  const samples = received(point("a"), point("b"));
  const news = { ...summary, samples: [point("a", { version: 2 }), point("c")], gone: ["b"] };
  equal(samples.learn({ ...news, conflicts: [] }), ["b", "a", "c"]);
  equal([...samples.placed.keys()], ["a", "c"]);
  equal(samples.get("a").properties.version, 2);
  equal(samples.get("b"), undefined);
}

export function classBesideTheLegendIsGrey() {
  equal([received().color("water"), received().color("ice")], ["#0000ff", UNKNOWN_COLOR]);
}

export function disputeEndsWithEitherOfTheTwo() {
  const samples = received(point("a"), point("b", { rival: "a" }));
  equal(samples.isDisputed(samples.get("b")), true);
  samples.learn({ ...summary, samples: [], gone: ["a"], conflicts: [] });
  equal(samples.isDisputed(samples.get("b")), false);
}
