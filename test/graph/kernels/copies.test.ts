import { copyCases } from "../../support/cases/copies.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(copyCases);
