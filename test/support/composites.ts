import { Random } from "../../src/random.ts";
import type { Case } from "./cases/case.ts";
import type { Operations } from "./operations.ts";

/** A smooth function drawn at random: a layer, then binary operations on what there is, each under a function. */
export function composite(seed: number): Case {
  return {
    name: `composite ${seed}`,
    parameters: { x: [4, 5], y: [5, 3], z: [3] },
    hyper: { c: [4, 3] },
    lanes: seed % 3 === 0 ? 3 : 1,
    budget: { value: 1e-6, gradient: 2e-6, jvp: 1e-6, hvp: 4e-6 },
    loss(o, { x, y, z, c }) {
      const random = new Random(seed);
      const pick = <F>(list: readonly F[]) => list[random.integer(list.length)]!;
      const pool = [pick(functions(o))(o.matmul(x, y, { bias: z })), c];
      for (let step = 0; step < 6; step++) {
        pool.push(pick(functions(o))(pick(meetings(o))(pick(pool), pick(pool))));
      }
      const all = pool.reduce((p, q) => o.add(p, q));
      return o.add(o.sum(o.mul(all, o.tanh(all))), o.scale(1 / 16, o.squaredNorm({ x, y, z, c })));
    },
  };
}

function functions<T>(o: Operations<T>): ((u: T) => T)[] {
  return [
    o.tanh,
    o.sigmoid,
    o.softplus,
    o.sin,
    (u) => o.sqrt(o.add(o.square(u), 1)),
    (u) => o.log(o.add(o.square(u), 1)),
    (u) => o.exp(o.neg(o.square(u))),
  ];
}

/** Of two 4×3 tensors a third. */
function meetings<T>(o: Operations<T>): ((u: T, v: T) => T)[] {
  return [
    o.add,
    o.sub,
    o.mul,
    (u, v) => o.div(u, o.add(o.square(v), 1)),
    (u, v) => o.matmul(o.matmul(u, v, { transposeB: true }), v),
    (u, v) => o.mul(u, o.sum(v, 0)),
    (u, v) => o.add(u, o.reshape(o.sum(v, 1), [4, 1])),
    (u, v) => o.mul(u, o.slice(v, 1, 2, 1)),
    (u, v) => o.add(u, o.transpose(o.reshape(v, [3, 4]))),
  ];
}
