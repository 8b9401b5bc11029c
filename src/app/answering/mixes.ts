import { mixDigest, inMixOrder } from '../../adapters/index.ts';
import { fail } from '../../base/index.ts';
import type { MixEntry, ResolvedModel, ResolvedPart } from '../../http/index.ts';

/**
 * The model that `adapters` of a request names: several adapters on the base at once, each resolved as if it were asked alone.
 * @param base the one that `model` names, if it names one
 * @param resolve what `model` alone would name, for the same key
 * @throws REQUEST_INVALID model is no base, a part is a base or of another one, or an adapter is named twice; what `resolve` throws
 */
export function resolveMix(
  model: string,
  adapters: readonly MixEntry[],
  base: ResolvedModel['base'] | undefined,
  resolve: (reference: string) => ResolvedModel,
): ResolvedModel {
  if (!base) {
    const message = `adapters are mixed on a base: model must be a base of this server, got ${JSON.stringify(model)}`;
    return fail('REQUEST_INVALID', message, { param: 'model' });
  }
  const parts: ResolvedPart[] = [];
  for (const [index, { id, weight }] of adapters.entries()) {
    const param = `adapters[${index}].id`;
    const { adapter, base: its } = resolve(id);
    if (!adapter) fail('REQUEST_INVALID', `${param} is the base: name adapters`, { param });
    if (its.digest !== base.digest) {
      const what = `${param} names ${adapter.reference}, which belongs to the base ${its.name}`;
      fail('REQUEST_INVALID', `${what}, and model is ${base.name}`, { param });
    }
    if (parts.some(({ digest }) => digest === adapter.digest)) {
      fail('REQUEST_INVALID', `${param} names ${adapter.reference} a second time: add up the weights`, { param });
    }
    parts.push({ ...adapter, weight });
  }
  const mix = inMixOrder(parts);
  const name = mix.map(({ reference, weight }) => `${reference}*${weight}`).join('+');
  return { modelName: name, base, adapter: { digest: mixDigest(mix), reference: name }, mix };
}
