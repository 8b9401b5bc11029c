import { type Problem } from '../../base/index.ts';
import type { LoraConfig } from './peft-lora-config.ts';
import { safeFullMatch } from './safe-regex.ts';

/** A module that an adapter may change: `model.layers.0.self_attn.q_proj`, W[out, in]. */
export interface AdapterSite {
  readonly path: string;
  readonly in: number;
  readonly out: number;
}

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** PEFT's wrapper around the module's path. */
const PREFIX = 'base_model.model.';
const LORA_KEY = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/** Tensors of other methods and settings, by their last parts: named in the error. */
const UNSUPPORTED: readonly (readonly [end: RegExp, what: string])[] = [
  [/\.lora_magnitude_vector(?:\.weight)?$/, 'DoRA'],
  [/\.lora_embedding_[AB]$/, 'LoRA on an embedding'],
  [/\.lora_[AB]\.bias$/, 'a bias on lora_B'],
  [/\.lora_E$|\.lora_[AB]$/, 'AdaLoRA, or a layer that is not linear'],
  [/\.trainable_tokens_delta$/, 'trained token embeddings'],
  [/\.experts\..*lora_[AB]\.weight$/, 'LoRA on experts'],
];

export const loraKeys = (path: string): { readonly A: string; readonly B: string } => ({
  A: `${PREFIX}${path}.lora_A.weight`,
  B: `${PREFIX}${path}.lora_B.weight`,
});

/**
 * The value for a module from rank_pattern or alpha_pattern: of the keys that match the end of its path, `(.*\.)?(KEY)`, the first.
 * @throws CONFIG_INVALID when a key is not a regular expression
 */
export function patternMatcher(
  patterns: Readonly<Record<string, number>>,
  field: string,
): (path: string) => number | undefined {
  const compiled = Object.entries(patterns).map(
    ([key, value]) => [safeFullMatch(`(.*\\.)?(${key})`, field), value] as const,
  );
  return (path) => compiled.find(([matches]) => matches(path))?.[1];
}

const text = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** What can be said of a LoRA's tensors without the base: names, partners, and ranks as the config has them. */
export function checkLoraTensors(config: LoraConfig, tensors: Shapes): Problem[] {
  const problems: Problem[] = [];
  const report = (where: string, message: string): void => void problems.push({ where, message });
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  const modules = new Set<string>();
  for (const name of tensors.keys()) {
    const path = LORA_KEY.exec(name)?.[1];
    if (path !== undefined) modules.add(path);
    else report(name, `tensor ${name} ${describeUnexpected(name)}`);
  }
  if (modules.size === 0 && problems.length === 0) report('tensors', 'the file has no tensors');
  for (const path of modules) {
    const keys = loraKeys(path);
    const [a, b] = [tensors.get(keys.A)?.shape, tensors.get(keys.B)?.shape];
    if (!a || !b) {
      report(
        a ? keys.B : keys.A,
        `tensor ${a ? keys.B : keys.A} is missing: its partner ${a ? keys.A : keys.B} is there`,
      );
      continue;
    }
    const rank = rankOf(path) ?? config.r;
    const message = describeRank(keys, a, b, rank);
    if (message) report(keys.A, message);
  }
  return problems;
}

function describeRank(
  keys: { A: string; B: string },
  a: readonly number[],
  b: readonly number[],
  rank: number,
): string | undefined {
  const shapes = `tensors ${keys.A} ${text(a)} and ${keys.B} ${text(b)}`;
  if (a.length !== 2 || b.length !== 2) return `${shapes}: expected two dimensions each, [r, in] and [out, r]`;
  if (a[0] === rank && b[1] === rank) return undefined;
  if (a[1] === rank && b[0] === rank)
    return `${shapes} are transposed: with rank ${rank} expected [${rank}, in] and [out, ${rank}]`;
  if (a[0] !== b[1]) return `${shapes} do not fit each other: expected [r, in] and [out, r] with r = ${rank}`;
  return `${shapes} have rank ${a[0]}, but adapter_config.json (r, rank_pattern) says ${rank}`;
}

function describeUnexpected(name: string): string {
  const [, what] = UNSUPPORTED.find(([end]) => end.test(name)) ?? [];
  return what
    ? `is not supported yet (${what})`
    : 'belongs to no adapted module: expected names like …q_proj.lora_A.weight';
}

/**
 * The same tensors against the modules that the config targets in the base: each has its two tensors with the base's sizes, and no
 * tensor is for anything else.
 */
export function checkLoraSites(
  tensors: Shapes,
  targets: readonly AdapterSite[],
  sites: readonly AdapterSite[],
): Problem[] {
  const problems: Problem[] = [];
  const expected = new Map<string, { site: AdapterSite; dimension: 0 | 1 }>();
  for (const site of targets) {
    const keys = loraKeys(site.path);
    expected.set(keys.A, { site, dimension: 1 });
    expected.set(keys.B, { site, dimension: 0 });
  }
  const paths = new Set(sites.map(({ path }) => path));
  for (const [name, { shape }] of tensors) {
    const target = expected.get(name);
    if (target) {
      const { site, dimension } = target;
      const wanted = dimension === 1 ? site.in : site.out;
      if (shape[dimension] === wanted) continue;
      const side = dimension === 1 ? 'inputs' : 'outputs';
      problems.push({
        where: name,
        message: `tensor ${name} ${text(shape)} is for ${shape[dimension]} ${side}, the base's ${site.path} has ${wanted}`,
      });
    } else {
      const path = LORA_KEY.exec(name)?.[1] ?? name;
      const why = paths.has(path) ? 'the config does not target' : 'the base does not have';
      problems.push({ where: name, message: `tensor ${name} is for the module ${path}, which ${why}` });
    }
  }
  for (const [name, { site }] of expected) {
    if (!tensors.has(name)) {
      problems.push({ where: name, message: `tensor ${name} is missing: adapter_config.json targets ${site.path}` });
    }
  }
  return problems;
}
