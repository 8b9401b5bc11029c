/**
 * Is a base in NF4 bitsandbytes' base, and a QLoRA PEFT's? `npm run peers:qlora` lets Transformers quantise SmolLM2-135M, compares every matrix
 * bit for bit, opens the folder that Transformers saves, and trains one LoRA on every linear layer with PEFT and here, on the same batches from
 * the same initial adapter. Exit code 1 when a figure is outside its tolerance.
 *
 * PEFT's loss is computed in f64 from its f32 logits, since torch's f32 log-softmax over 49152 logits is off by 5e-6 to one side, which the
 * gradients inherit; `--softmax=f32` leaves it as it is.
 *
 *   node test/peers/qlora.ts [--steps=20] [--threads=N] [--softmax=f64]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readArtefact } from '../../src/adapters/index.ts';
import { readConfig, resolveBase } from '../../src/app/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { loadBase, openSource } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { replayTraining } from '../support/replay-training.ts';
import { readChats } from './chats.ts';
import { peerBase, peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const BASE = 'smollm2-135m-instruct';
const LORA = {
  r: 8,
  lora_alpha: 16,
  target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
};
const SETTINGS = { learning_rate: 2e-4, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1e-8, max_grad_norm: 1 } as const;
const GRADIENT_STEPS = [1, 5];
const TOLERANCES = { loss: 1e-4, gradient: 1e-3 } as const;

interface PeerResult {
  readonly losses: readonly number[];
  readonly learningRates: readonly number[];
  readonly gradNorms: readonly number[];
  readonly versions: Readonly<Record<string, string>>;
}

const { values: options } = parseArgs({
  options: {
    steps: { type: 'string', default: '20' },
    threads: { type: 'string' },
    softmax: { type: 'string', default: 'f64' },
  },
});
const config = readConfig();
const threads = Number(options.threads ?? config.threads ?? availableParallelism());
const python = peerPython();
const { open, digest } = await resolveBase(config, BASE);
const { batches } = await readChats(open.path, Number(options.steps));
const kernels = loadNativeKernels({ threads });
const scratch = mkdtempSync(join(tmpdir(), 'espalier-qlora-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const verdicts = new Verdicts();

const job = {
  base: peerBase(python, { path: open.path, digest }, 'f32'),
  lora: LORA,
  batches: batches.map((batch) =>
    batch.map(({ tokenIds, lossWeights }) => ({ tokenIds: [...tokenIds], lossWeights: [...lossWeights] })),
  ),
  settings: { ...SETTINGS, steps: Number(options.steps), softmax: options.softmax },
  threads,
  seed: 0,
  recordGradientsAt: GRADIENT_STEPS,
  output: scratch,
};
writeFileSync(join(scratch, 'job.json'), JSON.stringify(job));
const peer = await peerJson<PeerResult>(python, 'test/peers/qlora_training.py', [join(scratch, 'job.json')]);
const named = ['bitsandbytes', 'peft', 'torch', 'transformers'].map((name) => `${name} ${peer.versions[name]}`);
console.log(`Espalier (${kernels.name}, ${threads} threads) and ${named.join(', ')}`);
compareMatrices();
compareTraining();
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

/** Codes, magnitudes and values of each matrix: quantised here, and read from the folder that Transformers saved. */
function compareMatrices(): void {
  const source = openSource(open.path);
  const quantised = openSource(join(scratch, 'base'));
  using saved = openSafetensors(join(scratch, 'base', 'model.safetensors'));
  using values = openSafetensors(join(scratch, 'values.safetensors'));
  const wrong = { codes: 0, absmax: 0, 'nested magnitudes': 0, offset: 0, 'values of ours': 0, 'values read': 0 };
  const differ = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): number =>
    Number(
      !Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength)),
    );
  for (const [name, { shape }] of values.tensors) {
    const [out, inputs] = shape as [number, number];
    const dense = source.read(name);
    const ours = kernels.quantiseNf4(dense);
    wrong.codes += differ(ours.codes, saved.read(name));
    wrong.absmax += differ(ours.nested.codes, saved.read(`${name}.absmax`));
    wrong['nested magnitudes'] += differ(ours.nested.absmax, saved.readFloats(`${name}.nested_absmax`));
    const state = JSON.parse(Buffer.from(saved.read(`${name}.quant_state.bitsandbytes__nf4`)).toString()) as {
      nested_offset: number;
    };
    wrong.offset += Number(ours.nested.offset !== state.nested_offset);
    const theirs = values.readFloats(name);
    const frozen = kernels.freeze(dense, out, inputs, 'nf4');
    wrong['values of ours'] += differ(kernels.thaw(frozen) as Float32Array, theirs);
    wrong['values read'] += differ(quantised.read(name), theirs);
  }
  verdicts.heading(`matrices that differ from bitsandbytes' in any bit, of ${values.tensors.size}`);
  for (const [what, count] of Object.entries(wrong)) verdicts.add(what, values.tensors.size > 0 ? count : NaN, 0);
  source.close();
  quantised.close();
}

function compareTraining(): void {
  for (const [what, path] of [
    ['quantised here', open.path],
    ["Transformers' folder", join(scratch, 'base')],
  ] as const) {
    const base = loadBase(path, BASE, kernels, 'nf4');
    const { steps } = replayTraining(base, readArtefact(join(scratch, 'initial'), base), {
      batches,
      learningRates: what === 'quantised here' ? peer.learningRates : peer.learningRates.slice(0, 2),
      settings: SETTINGS,
      keepsGradients: (step) => GRADIENT_STEPS.includes(step),
    });
    verdicts.heading(`${what}: loss and gradient of each step`);
    for (const [i, { loss, gradientNorm, gradients }] of steps.entries()) {
      const [expected, norm] = [peer.losses[i], peer.gradNorms[i]];
      const figures = `step ${i + 1}: ${loss.toFixed(6)}, PEFT ${expected.toFixed(6)}`;
      verdicts.add(figures, Math.abs(loss - expected) / expected, TOLERANCES.loss);
      verdicts.add(`step ${i + 1}: norm of the gradient`, Math.abs(gradientNorm - norm) / norm, TOLERANCES.gradient);
      if (gradients) compareGradients(i + 1, gradients);
    }
  }
}

function compareGradients(step: number, ours: ReadonlyMap<string, Float32Array>): void {
  using file = openSafetensors(join(scratch, `gradients-${step}.safetensors`));
  let [worst, worstName] = [0, 'none'];
  for (const name of file.tensors.keys()) {
    const theirs = file.readFloats(name);
    // While B is 0, A gets no gradient: zeros have no norm to compare by.
    if (step === 1 && name.includes('lora_A') && theirs.every((value) => value === 0)) continue;
    const { error } = compareToReference(ours.get(name) ?? [], theirs, TOLERANCES.gradient);
    if (!(error <= worst) && !Number.isNaN(worst)) [worst, worstName] = [error, name];
  }
  verdicts.add(`step ${step}: gradients, the worst of ${file.tensors.size}: ${worstName}`, worst, TOLERANCES.gradient);
}
