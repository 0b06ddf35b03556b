import { pixelCases } from "../../support/cases/pixels.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(pixelCases);
