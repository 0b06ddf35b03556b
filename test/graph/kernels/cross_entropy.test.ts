import { crossEntropyCases } from "../../support/cases/cross_entropy.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(crossEntropyCases);
