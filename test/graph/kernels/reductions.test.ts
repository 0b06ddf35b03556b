import { reductionCases } from "../../support/cases/reductions.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(reductionCases, reductionCases);
