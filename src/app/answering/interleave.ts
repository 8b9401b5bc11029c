/**
 * Yields from all sources as they come, at most `limit` of them begun and not ended at a time, begun in order. Ends them all when
 * one fails or the consumer leaves.
 */
export async function* interleave<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[],
  limit: number,
): AsyncGenerator<T, void, undefined> {
  const advance = async (source: AsyncGenerator<T, void, undefined>) => ({ source, result: await source.next() });
  const pending = new Map<AsyncGenerator<T, void, undefined>, ReturnType<typeof advance>>();
  let numBegun = 0;
  const begin = (): void => {
    while (pending.size < limit && numBegun < sources.length) {
      const source = sources[numBegun++];
      pending.set(source, advance(source));
    }
  };
  try {
    for (begin(); pending.size > 0; begin()) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done) {
        pending.delete(source);
        continue;
      }
      pending.set(source, advance(source));
      yield result.value;
    }
  } finally {
    const settled = [...pending.values()];
    await Promise.allSettled([...sources.map((source) => source.return()), ...settled]);
  }
}
