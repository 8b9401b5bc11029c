import { rmSync } from 'node:fs';
import { mergeLayer, targetsOf, type Adapter, type DenseLinear } from '../../adapters/index.ts';
import { fail } from '../../base/index.ts';
import { tensorName, RANDLORA_A, RANDLORA_B, VECTOR_BANK, VERA_A, VERA_B } from '../../formats/index.ts';
import {
  linearSites,
  matrixFormat,
  openSource,
  writeModelFolder,
  type LinearSite,
  type ModelDtype,
  type WeightSource,
} from '../../model/index.ts';
import { loadNativeKernels, type Floats, type Kernels, type WeightFormat } from '../../numeric/index.ts';
import { writeTokenizerFiles } from '../../text/index.ts';
import type { ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { refuseExisting } from './combining.ts';
import { openAdapter } from './open-adapter.ts';

export interface MergeOptions {
  readonly reference: string;
  /** Needed for a folder. */
  readonly base?: string | undefined;
  /**
   * What the adapter is merged into: the base's weights as they would be held in this format, dequantised. By default the quantised base
   * that it was trained on, where it was one, and the base's own weights otherwise.
   */
  readonly format?: WeightFormat | undefined;
  readonly dtype: ModelDtype;
  readonly output: string;
}

export interface MergedModel {
  readonly output: string;
  readonly reference: string;
  readonly base: string;
  readonly format: WeightFormat;
  readonly dtype: ModelDtype;
  readonly numMerged: number;
  readonly sizeBytes: number;
}

/**
 * Writes the base with an adapter merged into it: a Hugging Face folder that needs no adapter. Layers are made one at a time, so that memory
 * holds a layer and not the model.
 * @throws ADAPTER_INVALID for an adapter that is more than a change of linear layers; MODEL_UNSUPPORTED; USAGE_INVALID the folder exists
 */
export async function mergeIntoBase(
  config: AppConfig,
  options: MergeOptions,
  onProgress?: ModelProgress,
): Promise<MergedModel> {
  const { output, dtype } = options;
  refuseExisting(output);
  const { adapter, base, reference, trainedFormat } = await openAdapter(
    config,
    options.reference,
    options.base,
    onProgress,
  );
  const isQuantised = trainedFormat === 'nf4' || trainedFormat === 'int8';
  const format = options.format ?? (isQuantised ? trainedFormat : 'f32');
  const kernels = loadNativeKernels(config.threads === undefined ? {} : { threads: config.threads });
  const source = openSource(base.open.path);
  try {
    const merged = mergedReader(adapter, source, { kernels, format, what: reference });
    const model = { origin: base.open.path, config: source.config, dtype, read: merged.read };
    const sizeBytes = writeModelFolder(output, model);
    writeTokenizerFiles(base.open.path, output);
    return { output, reference, base: base.name, format, dtype, numMerged: merged.numMerged, sizeBytes };
  } catch (error) {
    rmSync(output, { recursive: true, force: true });
    throw error;
  } finally {
    source.close();
  }
}

/** Matrices that are no linear layer. */
const TABLES = ['model.embed_tokens.weight', 'lm_head.weight'];

interface Holding {
  readonly kernels: Kernels;
  readonly format: WeightFormat;
  readonly what: string;
}

/** Tensors that the modules of a method share. */
const SHARED: ReadonlySet<string> = new Set([RANDLORA_A, RANDLORA_B, VECTOR_BANK, VERA_A, VERA_B]);

/** The tensors of the base, those of targeted layers with the adapter in them. */
function mergedReader(
  adapter: Adapter,
  source: WeightSource,
  { kernels, format, what }: Holding,
): { readonly read: (name: string) => Floats; readonly numMerged: number } {
  const sites = linearSites(source.config);
  const targets = targetsOf(adapter.config, sites);
  const prefixes = targets.map(({ path }) => tensorName(path, ''));
  const other = [...adapter.tensors.keys()].find(
    (name) => !SHARED.has(name) && !prefixes.some((prefix) => name.startsWith(prefix)),
  );
  if (other !== undefined) {
    fail('ADAPTER_INVALID', `${what}: tensor ${other} changes no linear layer: it cannot be merged into the base`, {
      param: other,
    });
  }
  const held = (name: string, out: number, inputs: number): Floats => {
    const stored = matrixFormat(name, format);
    const codes = stored === 'nf4' ? source.readNf4(name) : undefined;
    if (codes) return kernels.thaw(kernels.freezeNf4(codes, out, inputs));
    const values = source.read(name);
    return stored === 'f32' ? values : kernels.thaw(kernels.freeze(values, out, inputs, stored));
  };
  const { vocabSize, hiddenSize } = source.config;
  let last: DenseLinear | undefined;
  /** A layer with the adapter in it; the last one is kept, whose bias and weights are asked for one after the other. */
  const mergedAt = (site: LinearSite): DenseLinear => {
    if (last?.site === site) return last;
    const bias_O = site.hasBias ? source.read(`${site.path}.bias`) : new Float32Array(site.out);
    last = { site, weight_OI: held(`${site.path}.weight`, site.out, site.in), bias_O, kernels };
    mergeLayer(adapter, last);
    if (!site.hasBias && bias_O.some((value) => value !== 0)) {
      fail(
        'ADAPTER_INVALID',
        `${what} adds a bias to ${site.path}, where the base's layer has none: serve it as an adapter`,
        { param: site.path },
      );
    }
    return last;
  };
  const siteOf = new Map(sites.map((site) => [site.path, site]));
  const isTarget = new Set(targets.map(({ path }) => path));
  return {
    numMerged: targets.length,
    read(name) {
      const [path, part] = splitName(name);
      const site = siteOf.get(path);
      if (site && isTarget.has(path)) return part === 'bias' ? mergedAt(site).bias_O : mergedAt(site).weight_OI;
      if (site && part === 'weight') return held(name, site.out, site.in);
      return TABLES.includes(name) ? held(name, vocabSize, hiddenSize) : source.read(name);
    },
  };
}

/** Module and parameter of a tensor's name. */
function splitName(name: string): [path: string, part: string] {
  const dot = name.lastIndexOf('.');
  return [name.slice(0, dot), name.slice(dot + 1)];
}
