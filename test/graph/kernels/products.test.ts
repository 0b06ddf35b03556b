import { productCases, variedProducts } from "../../support/cases/products.ts";
import { testKernels } from "../../support/kernels.ts";

testKernels(productCases, variedProducts);
