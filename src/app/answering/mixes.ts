import { mixDigest, inMixOrder } from '../../adapters/index.ts';
import { fail } from '../../base/index.ts';
import type { MixEntry, ResolvedModel, ResolvedPart } from '../../http/index.ts';

/**
 * The model that `adapters` of a request names: several adapters on the base at once, each resolved as if it were asked alone.
 * @param resolve what `model` alone would name, for the same key
 * @throws REQUEST_INVALID model is not the base, a part is the base, or an adapter is named twice; what `resolve` throws
 */
export function resolveMix(
  model: string,
  adapters: readonly MixEntry[],
  base: ResolvedModel['base'],
  resolve: (reference: string) => ResolvedModel,
): ResolvedModel {
  if (model !== base.name) {
    const message = `adapters are mixed on the base: model must be ${base.name}, got ${JSON.stringify(model)}`;
    fail('REQUEST_INVALID', message, { param: 'model' });
  }
  const parts: ResolvedPart[] = [];
  for (const [index, { id, weight }] of adapters.entries()) {
    const param = `adapters[${index}].id`;
    const { adapter } = resolve(id);
    if (!adapter) fail('REQUEST_INVALID', `${param} is the base: name adapters`, { param });
    if (parts.some(({ digest }) => digest === adapter.digest)) {
      fail('REQUEST_INVALID', `${param} names ${adapter.reference} a second time: add up the weights`, { param });
    }
    parts.push({ ...adapter, weight });
  }
  const mix = inMixOrder(parts);
  const name = mix.map(({ reference, weight }) => `${reference}*${weight}`).join('+');
  return { modelName: name, base, adapter: { digest: mixDigest(mix), reference: name }, mix };
}
