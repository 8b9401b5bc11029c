/**
 * What the sixteen codes of NormalFloat 4 stand for: quantiles of a normal distribution between −1 and 1, with an exact 0
 * (appendix E of Dettmers et al., 2023), as float32.
 */
export const NF4_CODE_BOOK: Readonly<Float32Array> = Float32Array.of(
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
);

/** Numbers that share a magnitude. */
export const NF4_BLOCK = 64;
/** Magnitudes that share one of the second level. */
export const NF4_NESTED_BLOCK = 256;
