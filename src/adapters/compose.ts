import { createHash } from 'node:crypto';
import { fail, type Digest } from '../base/index.ts';
import {
  isAdditive,
  mixRowPrograms,
  type PackingOptions,
  type Tensor,
  type WeightedProgram,
} from '../numeric/index.ts';
import type { CompiledAdapter, RowPrimitive } from './primitives.ts';

/** An adapter and its weight in a mix. */
export interface MixPart {
  readonly adapter: CompiledAdapter;
  readonly weight: number;
}

/** What a mix is made of, by content. */
export interface MixedDigest {
  readonly digest: string;
  readonly weight: number;
}

/**
 * The identity of a mix: a digest over its parts in the order of their digests, so that a mix answers alike (and shares its cache)
 * however the request orders it. {@link composeAdapters} takes them in this order.
 */
export function mixDigest(parts: readonly MixedDigest[]): Digest {
  const inOrder = inMixOrder(parts).map(({ digest, weight }) => [digest, weight]);
  return `sha256:${createHash('sha256')
    .update(JSON.stringify(['mix', inOrder]))
    .digest('hex')}`;
}

/** The parts in the order in which their deltas are added. */
export function inMixOrder<Part extends { readonly digest: string }>(parts: readonly Part[]): Part[] {
  return parts.toSorted((a, b) => (a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0));
}

/**
 * One adapter that adds the weighted changes of several: what is added to a layer's output is linear, so `Σ weight · delta` is exact
 * and needs no merged copy; the parts' matrices are used where they are, or copied side by side when they are packed.
 * @param allocate makes the shared memory of what is packed; see {@link mixRowPrograms}
 * @throws REQUEST_INVALID a part scales or replaces what the base computes: such changes cannot be added
 */
export function composeAdapters(parts: readonly MixPart[], allocate?: PackingOptions['allocate']): CompiledAdapter {
  const sites = new Map<string, RowPrimitive[]>();
  const programs: WeightedProgram[] = [];
  let sizeBytes = 0;
  for (const { adapter, weight } of parts) {
    checkMixable(adapter);
    for (const [path, primitives] of adapter.sites) {
      const mixed = sites.get(path) ?? [];
      for (const primitive of primitives) mixed.push(weighted(primitive, weight));
      sites.set(path, mixed);
    }
    if (adapter.program) programs.push({ program: adapter.program, weight });
    sizeBytes += adapter.sizeBytes;
  }
  return { sites, sizeBytes, ...(programs.length > 0 && { program: mixRowPrograms(programs, allocate) }) };
}

/** Whether an adapter can be a part of a mix. */
export function isMixable(adapter: CompiledAdapter): boolean {
  return whatIsNotAdded(adapter) === undefined;
}

/** Refuses what {@link composeAdapters} would refuse, without the work. @throws REQUEST_INVALID */
export function checkMixable(adapter: CompiledAdapter): void {
  const kind = whatIsNotAdded(adapter);
  if (kind !== undefined) refuse(kind);
}

/** How an adapter works, where that is no sum. */
function whatIsNotAdded({
  sites,
  virtual,
  tokenRows,
  norms,
  embedding,
  head,
  program,
}: CompiledAdapter): string | undefined {
  if (virtual) return 'virtual tokens';
  if (tokenRows) return 'trained tokens';
  if (norms) return 'trained norms';
  if (embedding ?? head) return 'a trained embedding or head';
  if (program && !isAdditive(program)) return 'scaling';
  for (const primitives of sites.values()) {
    for (const { kind } of primitives) if (!ADDITIVE_KINDS.has(kind)) return kind;
  }
  return undefined;
}

const ADDITIVE_KINDS: ReadonlySet<RowPrimitive['kind']> = new Set([
  'low-rank-delta',
  'kronecker-delta',
  'scaled-low-rank-delta',
  'bias',
] as const);

function weighted(primitive: RowPrimitive, weight: number): RowPrimitive {
  switch (primitive.kind) {
    case 'low-rank-delta':
    case 'kronecker-delta':
      return { ...primitive, scale: primitive.scale * weight };
    case 'scaled-low-rank-delta':
      return { ...primitive, outer_O: scaled(primitive.outer_O, weight) };
    case 'bias':
      return { ...primitive, bias_O: scaled(primitive.bias_O, weight) };
    default:
      return refuse(primitive.kind);
  }
}

function refuse(kind: string): never {
  return fail(
    'REQUEST_INVALID',
    `an adapter of this request works by ${kind}, which is not a sum: only adapters that add to the base (LoRA, VeRA, LoHa, LoKr) can be mixed`,
    { param: 'adapters' },
  );
}

function scaled({ shape, data }: Tensor, weight: number): Tensor {
  return { shape, data: data.map((value) => value * weight) };
}
