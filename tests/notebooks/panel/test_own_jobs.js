import { OwnJobs } from "/panel/own_jobs.js";
import { equal } from "./expect.js";

function store() {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text) };
}

const done = (id, state = "successful") => ({ id, state, finished: "2026-01-01" });
const idsOf = (jobs) => jobs.map(({ id }) => id);

export function onlyOwnJobsAreLearntAndOnce() {
  const own = new OwnJobs(store());
  own.begin("home/samples/a.geojson");
  own.add("a");
  own.add("b");
  const running = { id: "b", state: "running", finished: null };
  const told = { jobs: [done("a"), running, done("c")], chains: [] };
  equal(idsOf(own.learn(told)), ["a"]);
  equal(idsOf(own.learn(told)), []);
  equal(own.areWaitedFor, true);
  equal(idsOf(own.learn({ jobs: [done("b", "failed")], chains: [] })), []);
  equal(own.areWaitedFor, false);
}

export function stepsOfAnOwnChainAreOwnJobs() {
  const own = new OwnJobs(store());
  own.begin("f");
  own.addChains(["chain"]);
  const chain = { id: "chain", jobs: ["a"], state: "running" };
  const other = { id: "other", jobs: ["x"], state: "running" };
  equal(idsOf(own.learn({ jobs: [done("a"), done("x")], chains: [chain, other] })), ["a"]);
  equal(idsOf(own.learn({ jobs: [done("a")], chains: [chain] })), []);
  const last = { ...chain, jobs: ["a", "b"], state: "successful" };
  equal(idsOf(own.learn({ jobs: [done("b")], chains: [last] })), ["b"]);
  equal(own.areWaitedFor, false);
}

export function reloadedPageGoesOnWaiting() {
  const kept = store();
  const before = new OwnJobs(kept);
  before.begin("f");
  before.add("a");
  const after = new OwnJobs(kept);
  after.begin("f");
  equal(idsOf(after.learn({ jobs: [done("a")], chains: [] })), ["a"]);
  const elsewhere = new OwnJobs(kept);
  elsewhere.begin("g");
  equal(elsewhere.areWaitedFor, false);
}

export function jobThatNobodyKnowsIsForgotten() {
  const own = new OwnJobs(store());
  own.begin("f");
  own.add("a");
  own.add("b");
  equal(own.missing([done("a")]), ["b"]);
  own.forget(["b"]);
  equal(own.missing([]), ["a"]);
  own.addChains(["c"]);
  equal(own.missingChains([]), ["c"]);
  equal(own.missingChains([{ id: "c" }]), []);
  own.forget(["a", "c"]);
  equal(own.areWaitedFor, false);
}
