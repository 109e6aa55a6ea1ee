// What a test of a module expects; what is compared is JSON.

export function equal(found, wanted) {
  const [left, right] = [found, wanted].map((value) => JSON.stringify(value));
  if (left !== right) throw new Error(`found ${left}, wanted ${right}`);
}

export function close(found, wanted, apart = 1e-9) {
  if (!(Math.abs(found - wanted) <= apart)) throw new Error(`found ${found}, wanted ${wanted}`);
}
