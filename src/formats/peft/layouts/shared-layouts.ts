/** Layouts of RandLoRA and VB-LoRA, whose modules share tensors. */
import type { RandloraConfig } from '../configs/randlora-config.ts';
import type { VbloraConfig } from '../configs/vblora-config.ts';
import { requireDivisor } from './delta-layouts.ts';
import { perModule } from './module-layouts.ts';
import { moduleByName, type AdapterSite, type ExpectedTensor, type TensorLayout } from './tensor-layout.ts';

/** RandLoRA's frozen bases, which all modules share: for the largest sides among them. */
export const RANDLORA_A = 'base_model.randlora_A';
export const RANDLORA_B = 'base_model.randlora_B';

/** A module's bases: its shorter and its longer side, and how many products of rank r reach the full rank. */
export function randloraSizes(
  { r }: RandloraConfig,
  site: Pick<AdapterSite, 'in' | 'out'>,
): { readonly short: number; readonly long: number; readonly numBases: number } {
  const [short, long] = [Math.min(site.in, site.out), Math.max(site.in, site.out)];
  return { short, long, numBases: Math.ceil(short / r) };
}

/** The sizes of the shared bases: inputs and outputs are the largest of any target, each by itself. */
export function randloraShared(
  config: RandloraConfig,
  targets: readonly AdapterSite[],
): ReturnType<typeof randloraSizes> {
  return randloraSizes(config, {
    in: Math.max(...targets.map((site) => site.in)),
    out: Math.max(...targets.map((site) => site.out)),
  });
}

/**
 * randlora_lambda [r, bases] and randlora_gamma [bases, short] of each module; randlora_A [r, 1, short] and randlora_B [long, bases, r] once,
 * and, as PEFT saves them, in every module again.
 */
export function randloraLayout(config: RandloraConfig): TensorLayout {
  const { r } = config;
  const modules = perModule(['randlora_lambda', 'randlora_gamma'], (site) => {
    const { short, numBases } = randloraSizes(config, site);
    return { randlora_lambda: [r, numBases], randlora_gamma: [numBases, short] };
  });
  const layout = withShared(modules, (targets) => {
    const { short, long, numBases } = randloraShared(config, targets);
    const whose = `targeted modules, whose sides are at most ${short} and ${long}`;
    return [
      { name: RANDLORA_A, shape: [r, 1, short], whose },
      { name: RANDLORA_B, shape: [long, numBases, r], whose },
    ];
  });
  const sharedOf = (name: string): string | undefined =>
    [RANDLORA_A, RANDLORA_B].find((shared) => moduleByName(name, [shared.slice('base_model.'.length)]) !== undefined);
  return {
    ...layout,
    moduleOf: (name) => (sharedOf(name) === undefined ? layout.moduleOf(name) : ''),
    copyOf: sharedOf,
  };
}

/** VB-LoRA's vectors, of which all modules are made. */
export const VECTOR_BANK = 'base_model.vblora_vector_bank';

/** vblora_logits_A [r, in/length, vectors] and vblora_logits_B [out/length, r, vectors] of each module; the bank [vectors, length] once. */
export function vbloraLayout(config: VbloraConfig): TensorLayout {
  const { r, num_vectors: count, vector_length: length } = config;
  const modules = perModule(['vblora_logits_A', 'vblora_logits_B'], (site) => {
    const tiles = vbloraTiles(config, site);
    return { vblora_logits_A: [r, tiles.in, count], vblora_logits_B: [tiles.out, r, count] };
  });
  return {
    ...withShared(modules, () => [{ name: VECTOR_BANK, shape: [count, length], whose: 'vector bank' }]),
    explain: (name) => (name.includes('_topk_') ? 'is of a folder with save_only_topk_weights' : undefined),
  };
}

/** How many vectors the inputs and the outputs of a module are put together from. @throws ADAPTER_INVALID */
export function vbloraTiles(
  { vector_length: length }: VbloraConfig,
  site: AdapterSite,
): { readonly in: number; readonly out: number } {
  requireDivisor('vector_length', length, site.in, `the ${site.in} inputs of ${site.path}`);
  requireDivisor('vector_length', length, site.out, `the ${site.out} outputs of ${site.path}`);
  return { in: site.in / length, out: site.out / length };
}

/** Tensors of modules, and those of none. */
function withShared(
  modules: TensorLayout,
  shared: (targets: readonly AdapterSite[]) => readonly ExpectedTensor[],
): TensorLayout {
  const names = [RANDLORA_A, RANDLORA_B, VECTOR_BANK];
  return {
    moduleOf: (name) => (names.includes(name) ? '' : modules.moduleOf(name)),
    expected: (targets, base) => [...shared(targets), ...modules.expected(targets, base)],
  };
}
