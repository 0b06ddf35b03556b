import { batchNormCases } from "../../support/cases/batch_norm.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(batchNormCases);
