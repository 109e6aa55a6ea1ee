// The jobs that were started from this map, whose results become its layers by themselves.

const KEPT = "sample-map-jobs";

export class OwnJobs {
  /** store: keeps texts by key, as sessionStorage does, over a reload of the page. */
  constructor(store = storeOfPage()) {
    this.store = store;
    this.key = KEPT;
    this.jobs = new Set();
    this.chains = new Set();
  }

  /** Go on with what was waited for before the page was loaded again. */
  begin(file) {
    this.key = `${KEPT}:${file}`;
    try {
      const { jobs = [], chains = [] } = JSON.parse(this.store.getItem(this.key) ?? "{}");
      for (const id of jobs) this.jobs.add(id);
      for (const id of chains) this.chains.add(id);
    } catch {
      // nothing is waited for
    }
  }

  get areWaitedFor() {
    return this.jobs.size + this.chains.size > 0;
  }

  add(job) {
    this.jobs.add(job);
    this.keep();
  }

  addChains(ids) {
    for (const id of ids) this.chains.add(id);
    this.keep();
  }

  /** The jobs waited for that are not among these. */
  missing(jobs) {
    const told = new Set(jobs.map(({ id }) => id));
    return [...this.jobs].filter((id) => !told.has(id));
  }

  missingChains(chains) {
    return [...this.chains].filter((id) => !chains.some((chain) => chain.id === id));
  }

  /** Wait for some jobs or chains no more: nobody knows them. */
  forget(ids) {
    if (!ids.length) return;
    for (const id of ids) {
      this.jobs.delete(id);
      this.chains.delete(id);
    }
    this.keep();
  }

  /** Take what the service told; return the jobs that have ended well since. */
  learn({ jobs, chains }) {
    for (const { id, jobs: steps, state } of chains) {
      if (!this.chains.has(id)) continue;
      for (const step of steps) if (!this.known?.has(step)) this.jobs.add(step);
      this.known = new Set([...(this.known ?? []), ...steps]);
      if (state !== "running") this.chains.delete(id);
    }
    const ended = jobs.filter(({ id, finished }) => this.jobs.has(id) && finished);
    for (const { id } of ended) this.jobs.delete(id);
    if (ended.length || chains.length) this.keep();
    return ended.filter(({ state }) => state === "successful");
  }

  keep() {
    const told = JSON.stringify({ jobs: [...this.jobs], chains: [...this.chains] });
    try {
      this.store.setItem(this.key, told);
    } catch {
      // a browser that keeps nothing forgets it when the page is loaded again
    }
  }
}

function storeOfPage() {
  try {
    return window.sessionStorage;
  } catch {
    return { getItem: () => null, setItem: () => {} };
  }
}
