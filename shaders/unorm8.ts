/** Numbers from 0 to 1 in steps of 1/255, four to a word, as WebGPU's formats of that name have them; least byte first. */

/** WGSL for element `index` (WGSL) of an array of such words. */
export const unorm8At = (words: string, index: string): string =>
  `unpack4x8unorm(${words}[(${index}) / 4u] >> ((${index}) % 4u * 8u)).x`;

/** WGSL for the vector of four elements of which the first is at `index` (WGSL), a multiple of four. */
export const unorm8Vector = (words: string, index: string): string =>
  `unpack4x8unorm(${words}[(${index}) / 4u])`;
