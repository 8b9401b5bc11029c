/**
 * How fast is a LoRA training step, and how much memory does it take, against Hugging Face PEFT? Rank 8 on q, k, v and o.
 *
 * dense   8 sequences of 256 tokens, loss on each: nothing to pad, nothing to skip
 * chats   8 short chats of the demo's tasks a step, loss on the answers; the same token ids and weights for both. PEFT pads a step's
 *         chats to the longest and computes the loss of every position; we pack. The rate counts real tokens on both sides
 *
 * Each in f32 and bf16, and as QLoRA: `--only=nf4` measures that alone; and with our products in int8
 * (`--only="in int8"`), beside the peer's bf16 and NF4. Peak memory of the peer's QLoRA includes loading the float32 weights.
 *
 *   node bench/train.ts [--rounds=3] [--threads=N] [--base=NAME] [--only=PART] [--quick] [--json]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TRAINER_FLAGS, type BenchCase } from '../src/app/index.ts';
import { loadDemoTasks, type DemoTask } from '../src/demo/index.ts';
import { openChatRenderer, type ChatRenderer } from '../src/text/index.ts';
import {
  alternate,
  IN_INT8,
  isWanted,
  pairings,
  QLORA,
  prepareBase,
  readSettings,
  report,
  runOurs,
  runPeer,
  type Comparison,
  type Pairing,
  type PeerReport,
} from './compare.ts';

interface PeftReport extends PeerReport {
  /** Median over steps; padding does not count. */
  readonly realTokensPerSecond: number;
  readonly peakMemoryBytes: number;
}

/** A case, as the arguments that state it to each side. */
interface TrainCase {
  readonly name: string;
  readonly ours: readonly string[];
  readonly peer: readonly string[];
}

const RANK = 8;
const settings = await readSettings();
const { isQuick, threads, rounds } = settings;
const chatsPerStep = isQuick ? 2 : 8;
const scratch = mkdtempSync(join(tmpdir(), 'espalier-bench-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
let lastPeer: PeftReport | undefined;
const comparisons: Comparison[] = [];
for (const pairing of [...pairings(settings), QLORA, ...IN_INT8]) comparisons.push(...(await comparePair(pairing)));
if (!lastPeer) throw new Error('the peer did not run: --only names no case');
report('LoRA training steps', comparisons, settings, lastPeer);

async function comparePair(pairing: Pairing): Promise<Comparison[]> {
  const { path, peerFolder } = await prepareBase(settings, pairing);
  const steps = isQuick || pairing.isSlow ? 1 : 5;
  const renderer = openChatRenderer(path);
  const cases = [denseCase(pairing.isSlow || isQuick ? 1 : 8, isQuick ? 32 : 256)];
  for (const task of await loadDemoTasks()) cases.push(chatCase(task, renderer, steps));
  const results: Comparison[] = [];
  for (const { name, ours, peer } of cases) {
    const label = `${name}, ${pairing.label}`;
    if (!isWanted(label, settings)) continue;
    const runOursOnce = async () => {
      const shared = ['--base', settings.base, '--format', pairing.ours, '--rank', RANK, '--repetitions', steps];
      // `bench train` trains in its own process; `train` would fork one with these.
      const command = ['bench', 'train', ...ours, ...shared.map(String)];
      const [one] = await runOurs<BenchCase[]>(command, settings, TRAINER_FLAGS, pairing.compute);
      return new Map([[label, { rate: one.tokensPerSecond, peakMemoryBytes: one.peakMemoryBytes }]]);
    };
    const runPeerOnce = async () => {
      const shared = ['--dtype', pairing.peer, '--rank', RANK, '--steps', steps, '--threads', threads].map(String);
      lastPeer = await runPeer<PeftReport>('bench/peers/peft_train.py', [peerFolder, ...peer, ...shared], settings);
      const { realTokensPerSecond: rate, peakMemoryBytes } = lastPeer;
      return new Map([[label, { rate, peakMemoryBytes }]]);
    };
    const numRounds = pairing.isSlow ? 1 : rounds;
    results.push(...(await alternate('real tokens/s', numRounds, runOursOnce, runPeerOnce)));
  }
  return results;
}

/** Random tokens: both sides draw their own, and the arithmetic does not depend on them. */
function denseCase(batch: number, length: number): TrainCase {
  return {
    name: `dense ${batch}x${length}`,
    ours: ['--batch', String(batch), '--seq', String(length)],
    peer: ['dense', '--batch', String(batch), '--length', String(length)],
  };
}

/** The first examples of a task, as many as the steps take: as text for us, as our token ids for the peer. */
function chatCase({ task, train }: DemoTask, renderer: ChatRenderer, steps: number): TrainCase {
  const examples = train.slice(0, chatsPerStep * (steps + 1));
  const rendered = examples.map(({ messages }) => renderer.renderExample({ messages: [...messages] }));
  const [text, tokens] = [join(scratch, `${task}.jsonl`), join(scratch, `${task}.json`)];
  writeFileSync(text, examples.map((example) => `${JSON.stringify(example)}\n`).join(''));
  writeFileSync(
    tokens,
    JSON.stringify(rendered.map((one) => ({ tokenIds: [...one.tokenIds], lossWeights: [...one.lossWeights] }))),
  );
  return {
    name: `chats (${task}), ${chatsPerStep} a step`,
    ours: ['--data', text, '--batch', String(chatsPerStep)],
    peer: ['chat', '--data', tokens, '--batch', String(chatsPerStep)],
  };
}
