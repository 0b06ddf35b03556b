/** FNV-1a over the 32-bit patterns. */
export function hash(values: Float32Array): number {
  const words = new Uint32Array(values.slice().buffer);
  return words.reduce((sum, word) => Math.imul(sum ^ word, 16777619) >>> 0, 0);
}
