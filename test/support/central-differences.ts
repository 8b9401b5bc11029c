/** The oracle of gradients: they are derived from values alone. */

/**
 * The gradient of `f` at `x` by central differences, (f(x+h) − f(x−h)) / 2h for one element at a time, with `x` put back. Truncation
 * costs h²·f‴/6 and cancellation 2⁻⁵³·f/h: for smooth functions of size 1 the default h leaves about 1e-10.
 */
export function centralDifferences(f: () => number, x: Float64Array, h = 1e-5): Float64Array {
  return x.map((value, i) => {
    x[i] = value + h;
    const above = f();
    x[i] = value - h;
    const below = f();
    x[i] = value;
    return (above - below) / (2 * h);
  });
}

/** Σ a·b: turns an array of outputs into one number whose gradient with respect to them is `b`. */
export function inner(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
