import { fail } from '../base/index.ts';
import {
  EMBEDDING_PATH,
  HEAD_PATH,
  isClassifier,
  parameterNamesOf,
  safeFullMatch,
  type LoraConfig,
  type PeftConfig,
} from '../formats/index.ts';
import type { LinearSite } from '../model/index.ts';

/** The fields of a PEFT config that choose modules; not every method has all. */
export interface TargetFields {
  readonly target_modules: string | readonly string[];
  readonly exclude_modules?: string | readonly string[] | null | undefined;
  readonly layers_to_transform?: number | readonly number[] | null | undefined;
  readonly layers_pattern?: string | readonly string[] | null | undefined;
}

/** A module that can be a target. */
interface Targetable {
  readonly path: string;
  /** The last part of the path. */
  readonly role: string;
}

/** Names for groups of modules on the command line. */
export const TARGET_PRESETS: Readonly<Record<string, readonly string[] | 'all-linear'>> = {
  attention: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  'attention-qv': ['q_proj', 'v_proj'],
  mlp: ['gate_proj', 'up_proj', 'down_proj'],
  'all-linear': 'all-linear',
  norms: ['input_layernorm', 'post_attention_layernorm', 'norm'],
};

/** Modules that PEFT could adapt and we cannot yet: named in the error instead of "matches nothing". */
const KNOWN_UNSUPPORTED = ['lm_head', 'embed_tokens'];

/**
 * The sites that an adapter targets, by PEFT's rules (`check_target_module_exists`): a string is a regular expression that must match
 * the whole module path, or `all-linear`; a list holds module paths or their last parts. Unlike PEFT, every entry must match
 * something: a target that has no effect is a mistake.
 * @throws TARGET_UNMATCHED CONFIG_INVALID
 */
export function resolveTargets<Site extends Targetable>(fields: TargetFields, sites: readonly Site[]): Site[] {
  const excluded = excludeMatcher(fields.exclude_modules);
  const isLayer = layerMatcher(fields);
  const { target_modules: targets } = fields;
  if (typeof targets === 'string') {
    const matches = targets === 'all-linear' ? () => true : safeFullMatch(targets, 'target_modules');
    const chosen = sites.filter((site) => !excluded(site.path) && matches(site.path));
    if (chosen.length === 0) unmatched(`target_modules ${JSON.stringify(targets)} matches no module`, sites);
    return chosen;
  }
  if (targets.length === 0)
    fail('CONFIG_INVALID', 'target_modules is empty: name at least one module', { param: 'target_modules' });
  const hasEffect = new Set<string>();
  const chosen = sites.filter((site) => {
    const hits = targets.filter(
      (target) => site.path === target || (endsWith(site.path, target) && isLayer(site.path)),
    );
    for (const hit of hits) hasEffect.add(hit);
    return hits.length > 0 && !excluded(site.path);
  });
  for (const target of targets) {
    if (!hasEffect.has(target)) unmatched(`target_modules: ${JSON.stringify(target)} matches no module`, sites);
  }
  if (chosen.length === 0)
    unmatched('target_modules, exclude_modules and layers_to_transform together leave no module', sites);
  return chosen;
}

/** The linear layers that an adapter changes, those of which it trains the bias alone too: none when it is virtual tokens or rows of the embedding. @throws TARGET_UNMATCHED CONFIG_INVALID */
export function targetsOf(config: PeftConfig, sites: readonly LinearSite[]): LinearSite[] {
  switch (config.peft_type) {
    case 'PROMPT_TUNING':
    case 'P_TUNING':
    case 'PREFIX_TUNING':
    case 'TRAINABLE_TOKENS':
    case 'LN_TUNING':
      return [];
    case 'LORA':
      return loraChanged(config, sites);
    default:
      return resolveTargets(config, sites);
  }
}

/** What a LoRA adapts: linear layers, and the embedding and the head, which the model has no sites for. */
export interface LoraTargets {
  readonly linear: LinearSite[];
  readonly embedding: boolean;
  readonly head: boolean;
}

const OUTER = [
  { path: EMBEDDING_PATH, role: 'embed_tokens' },
  { path: HEAD_PATH, role: 'lm_head' },
] as const;

/** @throws TARGET_UNMATCHED; CONFIG_INVALID for settings that do not go with the embedding or the head */
export function loraTargets(config: LoraConfig, sites: readonly LinearSite[]): LoraTargets {
  // PEFT's all-linear leaves the head out.
  if (config.target_modules === 'all-linear') {
    const linear = withParameters(config, new Set(resolveTargets(config, sites)), sites);
    return { linear, embedding: false, head: false };
  }
  const isNone = Array.isArray(config.target_modules) && config.target_modules.length === 0;
  const chosen = isNone ? [] : resolveTargets<LinearSite | (typeof OUTER)[number]>(config, [...sites, ...OUTER]);
  const linear = withParameters(config, new Set(chosen.filter((site) => 'layer' in site)), sites);
  const isChosen = (path: string): boolean => chosen.some((site) => site.path === path);
  const [embedding, head] = [isChosen(EMBEDDING_PATH), isChosen(HEAD_PATH)];
  if (head && isClassifier(config)) {
    fail('CONFIG_INVALID', `target_modules has ${HEAD_PATH}, which a model that classifies does not have`, {
      param: 'target_modules',
    });
  }
  if (embedding || head) refuseBesideOuter(config, embedding ? EMBEDDING_PATH : HEAD_PATH);
  return { linear, embedding, head };
}

/**
 * The modules' sites and those of `target_parameters`, in the base's order, by PEFT's rules (`_inject_parameters`): exclusions and layers
 * choose among modules only. Unlike in PEFT every name must mean something.
 * @throws TARGET_UNMATCHED CONFIG_INVALID
 */
function withParameters(
  config: LoraConfig,
  ofModules: ReadonlySet<LinearSite>,
  sites: readonly LinearSite[],
): LinearSite[] {
  if (config.target_parameters === null) return sites.filter((site) => ofModules.has(site));
  const param = 'target_parameters';
  const meant = new Set<string>();
  const linear = sites.filter((site) => {
    const names = parameterNamesOf(config, site.path);
    for (const name of names) meant.add(name);
    if (names.length > 0 && ofModules.has(site)) {
      fail(
        'CONFIG_INVALID',
        `${site.path} is a target twice: by target_modules, and by ${JSON.stringify(names[0])} of target_parameters: take it out of one`,
        { param },
      );
    }
    return names.length > 0 || ofModules.has(site);
  });
  for (const name of config.target_parameters) {
    const reason = refusedParameter(name);
    if (reason !== undefined) fail('CONFIG_INVALID', `target_parameters: ${JSON.stringify(name)} ${reason}`, { param });
    if (meant.has(name)) continue;
    const known = [...new Set(sites.map(({ role }) => `${role}.weight`))].join(', ');
    fail('TARGET_UNMATCHED', `target_parameters: ${JSON.stringify(name)} matches no parameter: the base has ${known}`, {
      param,
    });
  }
  return linear;
}

/** Why a parameter cannot be adapted, by its name. */
function refusedParameter(name: string): string | undefined {
  if (/(?:^|\.)experts(?:\.|$)/.test(name)) return 'is of experts, [E, in, out], which no model family here has';
  if (/(?:^|\.)bias$|norm\.weight$/.test(name)) return 'is a vector, and LoRA adapts matrices';
  if (name === 'weight') return 'means every weight of the base, vectors too, and LoRA adapts matrices: name a module';
  const outer = OUTER.find(({ path }) => `${path}.weight` === name || `${path}.weight`.endsWith(`.${name}`));
  return outer && `is not supported yet as a parameter: name the module ${outer.role} in target_modules`;
}

/** The linear layers that a LoRA changes: its targets, and those whose bias is trained with `bias: "all"`, in the base's order. */
function loraChanged(config: LoraConfig, sites: readonly LinearSite[]): LinearSite[] {
  const targets = new Set(loraTargets(config, sites).linear);
  return sites.filter((site) => targets.has(site) || (config.bias === 'all' && site.hasBias));
}

/** The targets on this base: with `ensure_weight_tying` an update of the embedding is one of the head that is tied to it too, and back. */
export function withTying(
  { ensure_weight_tying }: LoraConfig,
  targets: LoraTargets,
  { tieEmbeddings }: { readonly tieEmbeddings: boolean },
): LoraTargets {
  const isBoth = ensure_weight_tying && tieEmbeddings && (targets.embedding || targets.head);
  return isBoth ? { ...targets, embedding: true, head: true } : targets;
}

function refuseBesideOuter(config: LoraConfig, path: string): void {
  const isSaved = config.modules_to_save?.some((name) => path.endsWith(name)) ?? false;
  const refused = [
    [config.use_dora, 'use_dora'],
    [config.lora_bias, 'lora_bias'],
    [config.trainable_token_indices !== null, 'trainable_token_indices'],
    [isSaved, 'modules_to_save'],
  ] as const;
  const [, field] = refused.find(([isSet]) => isSet) ?? [];
  if (field === undefined) return;
  fail('CONFIG_INVALID', `target_modules has ${path}, which is not supported yet together with ${field}`, {
    param: field,
  });
}

function endsWith(path: string, target: string): boolean {
  return path.endsWith(`.${target}`);
}

function excludeMatcher(excluded: TargetFields['exclude_modules']): (path: string) => boolean {
  if (excluded == null) return () => false;
  if (typeof excluded === 'string') return safeFullMatch(excluded, 'exclude_modules');
  return (path) => excluded.some((name) => path === name || endsWith(path, name));
}

/** PEFT looks for the layer's number behind `layers_pattern`, or behind any name when there is none. */
function layerMatcher(fields: TargetFields): (path: string) => boolean {
  if (fields.layers_to_transform == null) return () => true;
  const wanted = new Set([fields.layers_to_transform].flat());
  const named = fields.layers_pattern == null ? [] : [fields.layers_pattern].flat();
  return (path) => {
    const parts = path.split('.');
    const index = parts.findIndex(
      (part, i) => i > 0 && /^\d+$/.test(part) && (named.length === 0 || named.includes(parts[i - 1])),
    );
    return index > 0 && wanted.has(Number(parts[index]));
  };
}

function unmatched(what: string, sites: readonly Targetable[]): never {
  const known = [...new Set(sites.map((site) => site.role))].join(', ');
  const unsupported = KNOWN_UNSUPPORTED.find((name) => what.includes(name));
  const hint = unsupported ? `adapters on ${unsupported} are not supported yet` : `the base has ${known}`;
  fail('TARGET_UNMATCHED', `${what}: ${hint}`, { param: 'target_modules' });
}
