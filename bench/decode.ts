/**
 * How fast is generation against transformers' `generate`? Greedy, 64 prompt tokens and 64 new ones, 1 and 8 sequences at once; the
 * rate counts new tokens over the whole time, prompts included.
 *
 *   node bench/decode.ts [--rounds=3] [--threads=N] [--base=NAME] [--only=PART] [--quick] [--json]
 */
import type { BenchCase } from '../src/app/index.ts';
import {
  alternate,
  isWanted,
  pairings,
  prepareBase,
  readSettings,
  report,
  runOurs,
  runPeer,
  type Comparison,
  type PeerReport,
} from './compare.ts';

interface DecodeReport extends PeerReport {
  readonly cases: readonly { readonly tokensPerSecond: number }[];
  readonly peakMemoryBytes: number;
}

const settings = await readSettings();
const { isQuick, threads, rounds } = settings;
const [promptTokens, newTokens, repetitions] = isQuick ? [8, 4, 1] : [64, 64, 3];
const comparisons: Comparison[] = [];
let lastPeer: DecodeReport | undefined;

for (const pairing of pairings(settings)) {
  const { peerFolder } = await prepareBase(settings, pairing);
  for (const batch of [1, 8]) {
    const name = `decode ${batch}x${promptTokens}+${newTokens}, ${pairing.label}`;
    if (!isWanted(name, settings)) continue;
    const ours = async () => {
      const lengths = ['--prompt-tokens', promptTokens, '--new-tokens', newTokens, '--repetitions', repetitions];
      const args = ['--base', settings.base, '--format', pairing.ours, '--batch', batch, ...lengths];
      const [one] = await runOurs<BenchCase[]>(['bench', 'decode', ...args.map(String)], settings);
      return new Map([[name, { rate: one.tokensPerSecond, peakMemoryBytes: one.peakMemoryBytes }]]);
    };
    const peer = async () => {
      const lengths = ['--prompt', promptTokens, '--new', newTokens, '--repeats', repetitions];
      const args = [peerFolder, '--batches', batch, '--dtype', pairing.peer, '--threads', threads, ...lengths];
      lastPeer = await runPeer<DecodeReport>('bench/peers/hf_decode.py', args.map(String), settings);
      const rate = lastPeer.cases[0].tokensPerSecond;
      return new Map([[name, { rate, peakMemoryBytes: lastPeer.peakMemoryBytes }]]);
    };
    comparisons.push(...(await alternate('tokens/s', pairing.isSlow ? 1 : rounds, ours, peer)));
  }
}
if (!lastPeer) throw new Error('the peer did not run: --only names no case');
report('Greedy generation', comparisons, settings, lastPeer);
