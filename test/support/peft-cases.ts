import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileAdapter, readArtefact, type Adapter, type CompiledAdapter } from '../../src/adapters/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { GOLDEN, readGolden, type GoldenSequence } from '../conformance/goldens.ts';

/** What test/golden/peft/make_methods.py writes beside an adapter. */
export interface MethodGolden {
  readonly about: string;
  readonly base: string;
  readonly sequences: readonly GoldenSequence[];
}

/** An adapter that PEFT saved, with its logits. */
export interface PeftCase {
  readonly name: string;
  readonly golden: MethodGolden;
  readonly base: BaseModel;
  readonly adapter: Adapter;
  readonly compiled: CompiledAdapter;
}

/** The bases of the cases, in float32. */
export function loadPeftBases(): ReadonlyMap<string, BaseModel> {
  const kernels = loadNativeKernels();
  const names = ['tiny-llama', 'tiny-qwen2'];
  return new Map(names.map((name) => [name, loadBase(join(GOLDEN, 'models', name), name, kernels, 'f32')]));
}

/** Every case of test/golden/peft/methods. */
export function loadPeftCases(bases: ReadonlyMap<string, BaseModel>): PeftCase[] {
  return readdirSync(join(GOLDEN, 'peft', 'methods')).map((name): PeftCase => {
    const golden = readGolden<MethodGolden>('peft', 'methods', name, 'golden.json');
    const base = bases.get(golden.base);
    assert.ok(base, `${name} is on a known base`);
    const adapter = readArtefact(join(GOLDEN, 'peft', 'methods', name), base);
    return { name, golden, base, adapter, compiled: compileAdapter(adapter, base) };
  });
}
