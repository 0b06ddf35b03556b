import { assemblyCases } from "../../support/cases/assemblies.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(assemblyCases);
