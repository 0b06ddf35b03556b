import { type Case, integers, structural } from "./case.ts";

export const copyCases: readonly Case[] = [
  structural(
    "reshape",
    [
      [6, 4],
      [3, 8],
    ],
    (o, x) => o.reshape(x, [3, -1]),
  ),
  structural(
    "reshape of a computed tensor",
    [
      [6, 4],
      [2, 2, 6],
    ],
    (o, x) => o.reshape(o.cubic(x), [2, -1, 6]),
  ),
  structural(
    "slice of axis 0",
    [
      [5, 4],
      [2, 4],
    ],
    (o, x) => o.slice(x, 1, 3),
  ),
  structural(
    "slice of axis 1 from its start",
    [
      [5, 4],
      [5, 2],
    ],
    (o, x) => o.slice(x, 0, 2, 1),
  ),
  structural(
    "slice of axis 1 to its end, 3 lanes",
    [
      [5, 4],
      [5, 3],
    ],
    (o, x) => o.slice(x, 1, 4, 1),
    { lanes: 3 },
  ),
  structural(
    "slice of the middle axis",
    [
      [3, 9, 5],
      [3, 4, 5],
    ],
    (o, x) => o.slice(x, 2, 6, 1),
  ),
  structural(
    "slice of axis -1",
    [
      [3, 4, 9],
      [3, 4, 1],
    ],
    (o, x) => o.slice(x, 7, 8, -1),
  ),
  structural(
    "slice of all of axis 1",
    [
      [5, 4],
      [5, 4],
    ],
    (o, x) => o.slice(x, 0, 4, 1),
  ),
  structural(
    "slice of a computed tensor",
    [
      [5, 4],
      [3, 4],
    ],
    (o, x) => o.slice(o.cubic(x), 2, 5),
  ),
  structural(
    "transpose",
    [
      [5, 17],
      [17, 5],
    ],
    (o, x) => o.transpose(x),
    { lanes: 3 },
  ),
  structural(
    "transpose of 3 axes",
    [
      [3, 4, 7],
      [7, 4, 3],
    ],
    (o, x) => o.transpose(x),
  ),
  structural(
    "transpose, axes 2 0 1",
    [
      [3, 4, 7],
      [7, 3, 4],
    ],
    (o, x) => o.transpose(x, [2, 0, 1]),
  ),
  structural(
    "transpose, axes 1 0 2",
    [
      [3, 4, 7],
      [4, 3, 7],
    ],
    (o, x) => o.transpose(x, [1, 0, -1]),
  ),
  structural("transpose of a vector", [[67], [67]], (o, x) => o.transpose(x)),
  structural(
    "gather of rows",
    [
      [5, 3],
      [7, 3],
    ],
    (o, x, { index }) => o.gather(x, index),
    {
      data: { index: integers(0, 4, 4, 2, 0, 0, 1) },
      lanes: 3,
    },
  ),
  structural("gather of elements", [[5], [4]], (o, x, { index }) => o.gather(x, index), {
    data: { index: integers(3, 3, 3, 0) },
  }),
  structural(
    "gather of planes",
    [
      [3, 4, 5],
      [2, 4, 5],
    ],
    (o, x, { index }) => o.gather(x, index),
    {
      data: { index: integers(2, 2) },
    },
  ),
  structural(
    "gather of a computed tensor",
    [
      [9, 9],
      [3, 9],
    ],
    (o, x, { index }) => o.gather(o.cubic(x), index),
    {
      data: { index: integers(8, 0, 8) },
    },
  ),
];
