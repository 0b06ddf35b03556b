import { assemblyCases } from "./assemblies.ts";
import { batchNormCases } from "./batch_norm.ts";
import type { Case } from "./case.ts";
import { convolutionCases } from "./convolutions.ts";
import { copyCases } from "./copies.ts";
import { crossEntropyCases } from "./cross_entropy.ts";
import { elementwiseCases } from "./elementwise.ts";
import { productCases } from "./products.ts";
import { reductionCases } from "./reductions.ts";

/** One table for correctness; what each operation must achieve stands beside it. */
export const cases: readonly Case[] = [
  ...elementwiseCases,
  ...reductionCases,
  ...copyCases,
  ...crossEntropyCases,
  ...productCases,
  ...convolutionCases,
  ...batchNormCases,
  ...assemblyCases,
];
