/** The timing loop and the report line that all peers in JavaScript share. */
import { performance } from "node:perf_hooks";
import { checksum, estimators } from "./workload.mjs";

const warmups = 2;
/** At least 5; run.mjs sets it for all peers. */
const runs = Number(process.env.PEER_RUNS || 7);

/** The middle value, or the mean of the two middle ones. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Times one hypergradient of each estimator and prints the peer's JSON line.
 *
 * @param about `peer`, `version`, `backend` and `adapter`, printed as they are.
 * @param hypergradientOf takes an entry of `estimators` and gives a function that computes and reads back
 * one hypergradient [train]; its inner run is included, the upload of the data is not.
 */
export async function report(about, hypergradientOf) {
  const rows = [];
  for (const estimator of estimators) {
    const hypergradient = hypergradientOf(estimator);
    for (let i = 0; i < warmups; i++) await hypergradient();
    const seconds = [];
    let last;
    for (let i = 0; i < runs; i++) {
      const start = performance.now();
      last = await hypergradient();
      seconds.push((performance.now() - start) / 1000);
    }
    rows.push({
      estimator: estimator.name,
      seconds: median(seconds),
      fastest: Math.min(...seconds),
      runs,
      checksum: checksum(last),
    });
  }
  console.log(JSON.stringify({ ...about, rows }));
}
