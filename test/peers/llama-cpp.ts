/**
 * Does llama.cpp load what `espalier adapters export --format gguf` writes, and answer alike? On a real base (SmolLM2-135M) with random
 * LoRAs of several settings: both programs must choose the same greedy tokens. Exit code 1 when an adapter's answers differ in more than a
 * near tie, or when they are the base's.
 *
 * llama.cpp reads the base with every tensor in float32: on quantised blocks it would round its inputs to 8 bits, which already makes the
 * base's own answers differ. Needs a Python with llama-cpp-python, which ESPALIER_LLAMA_PYTHON names.
 *
 *   ESPALIER_LLAMA_PYTHON=… npm run peers:llama-cpp
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ggufLora, writeGgufLora } from '../../src/adapters/index.ts';
import {
  agreement,
  ALL_LINEAR,
  ALPHA_PATTERN,
  ATTENTION,
  BASE,
  GreedyAnswers,
  RSLORA,
  TOKENS,
  type PeerAnswers,
} from './greedy-answers.ts';
import { jsonOf } from './json-child.ts';
import { peerPython } from './python.ts';

const side = await GreedyAnswers.open();
const scratch = mkdtempSync(join(tmpdir(), 'espalier-llama-cpp-'));
/** A program of its own, because it is compiled for the machine. */
const llamaPython = process.env['ESPALIER_LLAMA_PYTHON'] ?? peerPython();
const baseOfPeer = join(scratch, 'base-f32.gguf');

async function theirs(lora: string | null): Promise<PeerAnswers> {
  const asked = join(scratch, 'asked.json');
  writeFileSync(asked, JSON.stringify({ model: baseOfPeer, lora, prompts: side.prompts, tokens: TOKENS }));
  return jsonOf<PeerAnswers>(llamaPython, [join(import.meta.dirname, 'llama_cpp_greedy.py'), asked]);
}

try {
  await jsonOf(peerPython(), [join(import.meta.dirname, 'gguf_to_f32.py'), side.path, baseOfPeer]);
  const [mine, peer] = [side.of(), await theirs(null)];
  const floor = agreement(mine, peer.answers);
  console.log(
    `llama-cpp-python ${peer.version}, ${BASE}: the base agrees on ${floor} of ${side.numTokens} greedy tokens`,
  );
  for (const one of [ATTENTION, ALL_LINEAR, RSLORA, ALPHA_PATTERN]) {
    const { folder, adapter } = side.write(scratch, one);
    writeGgufLora(`${folder}.gguf`, ggufLora(adapter, side.base, one.name));
    if (!side.judge(one.name, side.of(adapter), (await theirs(`${folder}.gguf`)).answers, mine)) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
