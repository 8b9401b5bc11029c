/** Biases of the base's linear layers that a LoRA trains whole, and serves as their difference to the base's. */
import { fail } from '../../base/index.ts';
import { biasName, type LoraConfig } from '../../formats/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import { addColumns, type Floats, type Graph, type Tensor } from '../../numeric/index.ts';
import { requireTensor, type AdapterTensors, type ParameterSpec } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { loraTargets } from '../targets.ts';

/** A layer whose bias is trained, and the name of that in the PEFT folder. */
interface BiasSite {
  readonly site: LinearSite;
  readonly name: string;
}

/** The layers whose biases PEFT trains: with `all` every one that has a bias, with `lora_only` the adapted ones. */
function biasSites(config: LoraConfig, sites: readonly LinearSite[]): BiasSite[] {
  if (config.bias === 'none') return [];
  const adapted = new Set(loraTargets(config, sites).linear);
  return sites.flatMap((site): BiasSite[] => {
    const isAdapted = adapted.has(site);
    return site.hasBias && (isAdapted || config.bias === 'all') ? [{ site, name: biasName(site, isAdapted) }] : [];
  });
}

/** The biases that a run trains. @throws CONFIG_INVALID where there is none: PEFT trains nothing then and does not say so */
export function biasParameters(config: LoraConfig, sites: readonly LinearSite[]): ParameterSpec[] {
  const biases = biasSites(config, sites);
  if (config.bias !== 'none' && biases.length === 0) {
    const roles = [...new Set(sites.flatMap(({ role, hasBias }) => (hasBias ? [role] : [])))].join(', ');
    const why =
      roles === ''
        ? 'no linear layer of this base has a bias (those of Llama have none, q_proj, k_proj and v_proj of Qwen2 have one): leave bias at none, or use lora_bias'
        : `this base has biases in ${roles} only, and none of them is a target: add one, or use bias all`;
    fail('CONFIG_INVALID', `bias is ${JSON.stringify(config.bias)}, and there is none to train: ${why}`, {
      param: 'bias',
    });
  }
  return biases.map(({ site, name }) => ({ name, shape: [site.out] }));
}

/** Writes the base's bias, which a trained one begins as. @returns false for a tensor that is none */
export function initialiseBias(config: LoraConfig, { name }: ParameterSpec, values: Floats, base: BaseModel): boolean {
  const found = biasSites(config, base.sites).find((bias) => bias.name === name);
  if (!found) return false;
  values.set(baseBias(base, found.site).data);
  return true;
}

/** Puts trained biases in place of the base's on the tape: for the output y of a layer, which has the base's in it. In place. */
export function biasHook(
  config: LoraConfig,
  base: BaseModel,
  tensors: AdapterTensors,
): (g: Graph, site: LinearSite, y: Tensor) => Tensor {
  const trained = new Map(
    biasSites(config, base.sites).map(({ site, name }) => [site.path, requireTensor(tensors, name)]),
  );
  return (g, site, y) => {
    const bias = trained.get(site.path);
    if (bias) {
      addColumns(g, y, bias, 1);
      addColumns(g, y, baseBias(base, site), -1);
    }
    return y;
  };
}

/** What serving adds to a layer's output: b' − b, [out], by the paths of the layers. Of layers that are not adapted only what changes something. */
export function biasDifferences(
  config: LoraConfig,
  base: BaseModel,
  tensors: AdapterTensors,
): ReadonlyMap<string, Tensor> {
  const differences = new Map<string, Tensor>();
  for (const { site, name } of biasSites(config, base.sites)) {
    const { shape, data: trained } = requireTensor(tensors, name);
    const before = baseBias(base, site).data;
    const data = trained.slice();
    for (let o = 0; o < data.length; o++) data[o] = trained[o] - before[o];
    if (data.some((value) => value !== 0)) differences.set(site.path, { shape, data });
  }
  return differences;
}

/** Adds the biases' differences to the primitives of each layer, as one bias where there is one already. In place. */
export function addBiasDifferences(
  sites: Map<string, readonly RowPrimitive[]>,
  differences: ReadonlyMap<string, Tensor>,
): void {
  for (const [path, difference] of differences) {
    const primitives = sites.get(path) ?? [];
    const data = difference.data.slice();
    for (const primitive of primitives) {
      if (primitive.kind !== 'bias') continue;
      for (let o = 0; o < data.length; o++) data[o] = data[o] + primitive.bias_O.data[o];
    }
    const bias: RowPrimitive = { kind: 'bias', bias_O: { shape: difference.shape, data } };
    sites.set(path, [...primitives.filter(({ kind }) => kind !== 'bias'), bias]);
  }
}

/** Writes a trained bias over the base's in a merged layer, where there is one. */
export function mergeBias(site: LinearSite, bias_O: Floats, tensors: AdapterTensors): void {
  const trained = tensors.get(biasName(site, true)) ?? tensors.get(biasName(site, false));
  if (trained) bias_O.set(trained.data);
}

function baseBias(base: BaseModel, { layer, role }: LinearSite): Tensor {
  const { bias } = base.layers[layer].linear[role];
  return bias ?? fail('INTERNAL', `the base's ${role} has a bias`);
}
