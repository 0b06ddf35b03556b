/** Whether the peers found the same hypergradients. */
import { join } from "node:path";
import { reference } from "./reference.mjs";
import { runPeer } from "./run_peer.mjs";
import { decode } from "./workload.mjs";

/**
 * What all hypergradients are compared with, by estimator: float64, for the linear workload in JavaScript and for the
 * others by PyTorch; where that is absent, `undefined`, and why.
 */
export async function float64(workload) {
  if (workload.name === "linear") return { of: "float64 in JavaScript", values: reference() };
  const job = {
    name: "torch",
    file: process.execPath,
    args: [join(import.meta.dirname, "python.mjs"), "torch", "--reference"],
  };
  const { hypergradients, absent, failed } = await runPeer(job, workload, 1);
  if (!hypergradients) return { without: absent ?? failed };
  const values = Object.entries(hypergradients).map(([name, text]) => [name, decode(text, 8)]);
  return { of: "float64 in PyTorch", values: Object.fromEntries(values) };
}

/** Without float64: the numbers of the first peer that has some. */
export function firstOf(results) {
  const { peer, rows } = results.find(({ rows }) => rows) ?? {};
  if (!rows) return {};
  return {
    of: peer,
    values: Object.fromEntries(
      rows.map(({ estimator, hypergradient }) => [estimator, decode(hypergradient)]),
    ),
  };
}

/** ‖h − expected‖ / ‖expected‖ */
function relativeError(h, expected) {
  if (h.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [difference, norm] = [0, 0];
  expected.forEach((value, i) => {
    difference += (h[i] - value) ** 2;
    norm += value ** 2;
  });
  const error = Math.sqrt(difference / norm);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

/** A result with `error` in place of the numbers of each row. */
export function check({ rows, ...result }, { of, values }) {
  if (!rows) return result;
  const checked = rows.map(({ hypergradient, ...row }) => {
    const expected = values[row.estimator];
    return expected && of !== result.peer
      ? { ...row, error: relativeError(decode(hypergradient ?? ""), expected) }
      : row;
  });
  return { ...result, rows: checked };
}
