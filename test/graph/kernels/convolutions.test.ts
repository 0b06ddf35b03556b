import { convolutionCases, variedConvolutions } from "../../support/cases/convolutions.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(convolutionCases, variedConvolutions);
