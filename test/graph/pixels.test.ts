import { pixelCases } from "../support/cases/pixels.ts";
import { testByEveryVariant } from "../support/every_variant.ts";

testByEveryVariant("data that is kept as bytes", pixelCases);
