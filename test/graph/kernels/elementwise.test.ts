import { elementwiseCases } from "../../support/cases/elementwise.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(elementwiseCases);
