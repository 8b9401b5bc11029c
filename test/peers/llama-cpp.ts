/**
 * Does llama.cpp load what `espalier adapters export --format gguf` writes, and answer alike? On a real base (SmolLM2-135M) with random
 * LoRAs of several settings: both programs must choose the same greedy tokens. Exit code 1 when an adapter's answers differ in more than a
 * near tie, or when they are the base's.
 *
 * llama.cpp reads the base with every tensor in float32: on quantised blocks it would round its inputs to 8 bits, which already makes the
 * base's own answers differ. Needs a Python with llama-cpp-python, which ESPALIER_LLAMA_CPP_PYTHON names.
 *
 *   ESPALIER_LLAMA_CPP_PYTHON=… npm run peers:llama-cpp
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BASE_ADAPTER,
  compileAdapter,
  ggufLora,
  readArtefact,
  writeArtefact,
  writeGgufLora,
} from '../../src/adapters/index.ts';
import { readConfig, resolveBase } from '../../src/app/index.ts';
import type { LoraConfig } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import { GREEDY } from '../../src/serving/request.ts';
import { openChatRenderer } from '../../src/text/index.ts';
import { randomAdapter } from '../support/tiny-adapters.ts';
import { jsonOf } from './json-child.ts';
import { peerPython } from './python.ts';

const BASE = 'smollm2-135m-instruct';
/** Of an answer. One answer of five may part at a near tie. */
const TOKENS = 16;
const QUESTIONS = [
  'What is the capital of France?',
  'Write one sentence about the sea.',
  'Name three colours.',
  'Is seven an even number?',
  'Translate "good morning" to Spanish.',
];
/** Small against the base, so that the answers stay language: a tie of noise would agree by chance. */
const CHANGE = 0.05;
const CASES: readonly [
  name: string,
  rank: number,
  targets: readonly string[] | 'all-linear',
  more: Partial<LoraConfig>,
][] = [
  ['attention', 8, ['q_proj', 'k_proj', 'v_proj', 'o_proj'], {}],
  ['all-linear', 4, 'all-linear', {}],
  ['rslora', 8, ['q_proj', 'v_proj'], { use_rslora: true }],
  ['alpha pattern', 4, ['q_proj', 'down_proj'], { alpha_pattern: { q_proj: 2 } }],
];

interface Greedy {
  readonly answers: readonly (readonly number[])[];
  readonly version: string;
}

const config = readConfig();
const found = await resolveBase(config, BASE, () => {});
const base = loadBase(found.open.path, BASE, loadNativeKernels({ threads: 1 }), 'f32');
const renderer = openChatRenderer(found.open.path);
const prompts = QUESTIONS.map((content) => [...renderer.renderPrompt([{ role: 'user', content }])]);
const scratch = mkdtempSync(join(tmpdir(), 'espalier-llama-cpp-'));

function ours(adapter = BASE_ADAPTER): number[][] {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences: prompts.length });
  const answers = prompts.map((): number[] => []);
  for (const [index, prompt] of prompts.entries()) {
    const promptTokenIds = Int32Array.from(prompt);
    const request = {
      id: String(index),
      promptTokenIds,
      adapter: null,
      maxTokens: TOKENS,
      stopTokenIds: [],
      sampling: GREEDY,
    };
    engine.submit(request, adapter);
  }
  while (engine.hasWork) for (const { id, tokenIds } of engine.step().events) answers[Number(id)].push(...tokenIds);
  return answers;
}

/** A program of its own, because it is compiled for the machine. */
const llamaPython = process.env['ESPALIER_LLAMA_CPP_PYTHON'] ?? peerPython();
const baseOfPeer = join(scratch, 'base-f32.gguf');

async function theirs(lora: string | null): Promise<Greedy> {
  const asked = join(scratch, 'asked.json');
  writeFileSync(asked, JSON.stringify({ model: baseOfPeer, lora, prompts, tokens: TOKENS }));
  return jsonOf<Greedy>(llamaPython, [join(import.meta.dirname, 'llama_cpp_greedy.py'), asked]);
}

/** Tokens before the first that differs, over all answers: what follows it has another prompt. */
function agreement(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  let same = 0;
  for (const [index, answer] of a.entries()) {
    const differs = answer.findIndex((token, n) => token !== b[index][n]);
    same += differs < 0 ? answer.length : differs;
  }
  return same;
}

try {
  const total = TOKENS * prompts.length;
  await jsonOf(peerPython(), [join(import.meta.dirname, 'gguf_to_f32.py'), found.open.path, baseOfPeer]);
  const [mine, peer] = [ours(), await theirs(null)];
  const floor = agreement(mine, peer.answers);
  console.log(`llama-cpp-python ${peer.version}, ${BASE}: the base agrees on ${floor} of ${total} greedy tokens`);
  for (const [name, rank, targets, more] of CASES) {
    const { config: plain, tensors } = randomAdapter(base.sites, { seed: 5, rank, targets });
    for (const { data } of tensors.values()) for (let i = 0; i < data.length; i++) data[i] *= CHANGE / 0.2;
    const folder = join(scratch, name.replace(' ', '-'));
    writeArtefact(folder, { config: { ...(plain as LoraConfig), ...more }, tensors }, base.digest);
    const adapter = readArtefact(folder, base);
    writeGgufLora(`${folder}.gguf`, ggufLora(adapter, base, name));
    const [answers, answered] = [ours(compileAdapter(adapter, base)), (await theirs(`${folder}.gguf`)).answers];
    const same = agreement(answers, answered);
    const likeBase = agreement(answers, mine);
    const isGood = same >= total - TOKENS && likeBase < total / 2;
    console.log(`${isGood ? 'ok  ' : 'FAIL'} ${name}: ${same} of ${total} (with our base's own: ${likeBase})`);
    if (!isGood) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
