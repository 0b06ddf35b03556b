/** 128 bits as four 32-bit words. */
export type Key = readonly [number, number, number, number];

/**
 * Seeded pseudorandom numbers: the same bits in every JavaScript engine, because only exact 32-bit
 * integer arithmetic and correctly rounded +, −, ×, ÷ and √ are used.
 *
 * The generator is xoshiro128** 1.1 (D. Blackman, S. Vigna, "Scrambled Linear Pseudorandom Number
 * Generators", ACM TOMS 47(4), 2021, arXiv:1805.01407, https://prng.di.unimi.it/xoshiro128starstar.c).
 * Seeds and names become its 128-bit state through MurmurHash3's 32-bit finaliser
 * (https://github.com/aappleby/smhasher). Not for cryptography.
 */
export class Random {
  private readonly key: Key;
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  private spare = Number.NaN;

  /** @param seed a safe integer, or the 128 bits of state themselves, not all of them zero */
  constructor(seed: number | Key) {
    this.key = typeof seed === "object" ? seed : withNumber(ROOT, seed);
    if (this.key.every((word) => word >>> 0 === 0)) {
      throw new RangeError("the state of a random generator must not be all zero: set at least one bit");
    }
    [this.a, this.b, this.c, this.d] = this.key;
  }

  /** 32 random bits: an integer in [0, 2³²). */
  bits(): number {
    const result = Math.imul(rotate(Math.imul(this.b, 5), 7), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotate(this.d, 11);
    return result;
  }

  /** A uniform number in [0, 1): a multiple of 2⁻²⁴, so it is exact and below 1 in float32 too. */
  uniform(): number {
    return (this.bits() >>> 8) * 2 ** -24;
  }

  /** A standard normal number (Marsaglia and Bray's polar method, SIAM Review 6(3), 1964). */
  normal(): number {
    if (!Number.isNaN(this.spare)) {
      const kept = this.spare;
      this.spare = Number.NaN;
      return kept;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s >= 1 || s === 0) continue;
      const scale = Math.sqrt((-2 * logarithm(s)) / s);
      this.spare = v * scale;
      return u * scale;
    }
  }

  /** A uniform integer in [0, n), without bias. @param n an integer in [1, 2³²] */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new RangeError(`integer(n) needs an integer n from 1 to 2^32, got ${n}`);
    }
    const excess = 2 ** 32 % n;
    let bits = this.bits();
    while (bits < excess) bits = this.bits();
    return bits % n;
  }

  /** The integers 0 … n − 1 in uniformly random order (Fisher and Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = order[i]!;
      order[i] = order[j]!;
      order[j] = held;
    }
    return order;
  }

  /**
   * An independent stream. It depends on this generator's seed (and the names on the way to it) and on
   * `name` alone, not on how many numbers were drawn, so code that draws more disturbs no other stream.
   */
  fork(name: string | number): Random {
    return new Random(typeof name === "number" ? withNumber(this.key, name) : withText(this.key, name));
  }
}

// The first digits of π after the point: "nothing up my sleeve".
const ROOT: Key = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];

// What was folded in last tells numbers from text: fork(1) and fork("1") differ.
const NUMBER = 1;
const TEXT = 2;

function withNumber(key: Key, value: number): Key {
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`a random seed must be an integer between −2^53 and 2^53, got ${value}`);
  }
  return fold(fold(fold(key, value >>> 0), Math.floor(value / 2 ** 32)), NUMBER);
}

function withText(key: Key, text: string): Key {
  let folded = key;
  for (let i = 0; i < text.length; i++) folded = fold(folded, text.charCodeAt(i));
  return fold(fold(folded, text.length), TEXT);
}

/** Stirs one word into the key. For a given word this is a bijection of the keys. */
function fold(key: Key, word: number): Key {
  let [a, b, c, d] = key;
  a = mix(a ^ word);
  b = mix(b + a + GOLDEN);
  c = mix(c + b + GOLDEN);
  d = mix(d + c + GOLDEN);
  a = mix(a + d + GOLDEN);
  return [a, b, c, d];
}

const GOLDEN = 0x9e3779b9; // 2³² divided by the golden ratio

/** The 32-bit finaliser of MurmurHash3. */
function mix(word: number): number {
  let x = word | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

/** ln x for 0 < x ≤ 1 to about one unit in the last place; Math.log may differ between engines. */
function logarithm(x: number): number {
  let mantissa = x;
  let halvings = 0;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    halvings++;
  }
  // ln m = 2 artanh((m − 1) / (m + 1)); |t| ≤ 0.172, so twelve terms are enough.
  const t = (mantissa - 1) / (mantissa + 1);
  let sum = 0;
  for (let k = 23; k >= 1; k -= 2) sum = sum * t * t + 1 / k;
  return 2 * t * sum - halvings * Math.LN2;
}
