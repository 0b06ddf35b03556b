declare module "wgsl-preprocessor/wgsl-preprocessor.js" {
  /** Tagged template with `#if ${condition}`, `#elif ${condition}`, `#else` and `#endif`; any value may be a condition. */
  export function wgsl(
    strings: TemplateStringsArray,
    ...values: (string | number | boolean | object | undefined)[]
  ): string;
}
