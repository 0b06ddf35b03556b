import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, input, linearGrid, linearMain, output, type View } from "./operand.ts";

// Placeholder until the tuned kernel lands: one invocation an output.
export interface MatmulConfig {
  m: number;
  n: number;
  k: number;
  aRow: number;
  aCol: number;
  bRow: number;
  bCol: number;
  a?: View;
  b?: View;
  bias?: View;
  out?: View;
  da?: View;
  db?: View;
  dbias?: View;
  dout?: View;
  tile: MatmulTile;
}
export interface MatmulTile {
  threads: number;
}
export function chooseMatmulTile(_shape: object, _adapter: string): MatmulTile {
  return { threads: 64 };
}
export function matmulGrid({ m, n }: MatmulConfig): [number, number] {
  return linearGrid(m * n);
}
export function matmul({
  m,
  n,
  k,
  aRow,
  aCol,
  bRow,
  bCol,
  a,
  b,
  bias,
  out,
  da,
  db,
  dbias,
  dout,
}: MatmulConfig): string {
  const ai = `i / ${n}u * ${aRow}u + p * ${aCol}u`;
  const bi = `p * ${bRow}u + i % ${n}u * ${bCol}u`;
  return wgsl`
${input(0, "a", a)}
${input(1, "da", da)}
${input(2, "b", b)}
${input(3, "db", db)}
${input(4, "bias", bias)}
${input(5, "dbias", dbias)}
${output(6, "outp", out)}
${output(7, "doutp", dout)}
${linearMain(m * n)}
  var s = 0.0; var ds = 0.0;
  for (var p = 0u; p < ${k}u; p++) {
    #if ${out}
    s += a[${at(a, ai)}] * b[${at(b, bi)}];
    #endif
    #if ${da}
    ds += da[${at(da, ai)}] * b[${at(b, bi)}];
    #endif
    #if ${db}
    ds += a[${at(a, ai)}] * db[${at(db, bi)}];
    #endif
  }
  #if ${bias && out}
  s += bias[${at(bias, `i % ${n}u`)}];
  #endif
  #if ${dbias}
  ds += dbias[${at(dbias, `i % ${n}u`)}];
  #endif
  #if ${out}
  outp[${at(out, "i")}] = s;
  #endif
  #if ${dout}
  doutp[${at(dout, "i")}] = ds;
  #endif
}`;
}
