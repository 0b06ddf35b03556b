import { perLane, type Values } from "../../src/index.ts";

/** The values of several lanes side by side, [lanes × …]; all have one shape. */
export function sideBySide(lanes: readonly Values[]): Values {
  const [{ shape, data }] = lanes as [Values];
  const all =
    data instanceof Int32Array
      ? new Int32Array(lanes.length * data.length)
      : new Float32Array(lanes.length * data.length);
  lanes.forEach((lane, index) => {
    all.set(lane.data, index * data.length);
  });
  return perLane({ shape: [lanes.length, ...shape], data: all });
}

/** The part of one lane of values that have the lane as first axis. */
export function laneOf({ shape: [lanes, ...shape], data }: Values, lane: number): Values {
  const count = data.length / lanes!;
  return { shape, data: data.subarray(lane * count, (lane + 1) * count) };
}
