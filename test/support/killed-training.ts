/** Training runs that are killed at random moments of their life and resumed, compared with the run that nobody killed. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { methodDefaults, TRAINING_METHODS, type TrainMethod } from '../../src/app/index.ts';
import type { Rng } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { childrenOf, Program, type ProgramOptions } from './processes.ts';

/** A kind of run: its name, and what it adds to the arguments that all have. */
export interface RunKind {
  readonly name: string;
  readonly args: readonly string[];
}

/** Who dies: the other process has to notice by itself. */
const VICTIMS = ['the command', 'the training process', 'both'] as const;
type Victim = (typeof VICTIMS)[number];

export interface Kill {
  readonly victim: Victim;
  readonly afterMs: number;
  /** The last line that the run had printed. */
  readonly seen: string;
}

export interface KilledRun {
  readonly kind: string;
  readonly kills: readonly Kill[];
  /** Files that differ from those of the run that nobody killed; none when all is well. */
  readonly differences: readonly string[];
}

const WEIGHTS = 'adapter_model.safetensors';
/** Of a run that trains the whole model. */
const MODEL = 'model.safetensors';
/** What a run's settings and data decide, byte for byte. */
const DECIDED = [WEIGHTS, MODEL, 'adapter_config.json'].flatMap((name) => [name, `run/last/${name}`]);
const CHECKPOINT = 'checkpoint.safetensors';

/** What a method cannot be without, and sizes that fit the tiny base. */
const SIZES: Readonly<Partial<Record<TrainMethod, readonly string[]>>> = {
  oft: ['--block-size', '8'],
  miss: ['--rank', '8'],
  fourierft: ['--frequencies', '60'],
  randlora: ['--rank', '4'],
  vblora: ['--vector-length', '16', '--num-vectors', '12'],
  'trainable-tokens': ['--tokens', '88,261'],
};

/** A run of a method, with its randomness on where it has any: a checkpoint must hold all that a run's bytes depend on. */
export function methodKind(method: TrainMethod, ...args: readonly string[]): RunKind {
  const hasDropout = 'dropout' in methodDefaults(method);
  return { name: method, args: ['--method', method, ...(hasDropout ? ['--dropout', '0.1'] : []), ...args] };
}

export const methodKinds = (): RunKind[] =>
  TRAINING_METHODS.map((method) => methodKind(method, ...(SIZES[method] ?? [])));

export interface KillOptions {
  readonly program: ProgramOptions;
  /** Without --output, --resume and what the kind says. */
  readonly args: readonly string[];
  /** Two folders are made in it for each kind. */
  readonly folder: string;
  readonly numKills: number;
  readonly rng: Rng;
  onKill?(kind: RunKind, kill: Kill): void;
}

/** How long the parts of a run take that nobody kills. */
interface Pace {
  readonly startMs: number;
  readonly stepMs: number;
}

/** The share of kills that come before the first step. */
const EARLY = 0.2;

/**
 * Runs a kind once to its end, then again while it is killed `numKills` times: a few before the first step, the others at a random moment of a random
 * step (the end, where files get their names, is one). It is resumed where there is a checkpoint and begun anew where there is none yet; a run that
 * ends before its kill is compared and begun again.
 * @throws Error when the run that nobody kills fails, or a resumed one does
 */
export async function killedRun(kind: RunKind, options: KillOptions): Promise<KilledRun> {
  const { numKills, rng, program, folder } = options;
  const [whole, killed] = ['whole', 'killed'].map((name) => join(folder, `${kind.name}-${name}`));
  const args = (output: string): string[] => {
    const resume = existsSync(join(output, CHECKPOINT)) ? ['--resume'] : [];
    return ['train', ...options.args, ...kind.args, '--output', output, ...resume];
  };
  const pace = await toItsEnd(args(whole), program);
  const kills: Kill[] = [];
  const differences: string[] = [];
  const compare = (): void => {
    differences.push(...differencesOf(whole, killed));
    rmSync(killed, { recursive: true, force: true });
  };
  while (kills.length < numKills) {
    const kill = await killOnce(args(killed), program, rng, pace);
    if (kill === undefined) {
      compare();
      continue;
    }
    requireWhole(killed, whole);
    kills.push(kill);
    options.onKill?.(kind, kill);
  }
  await toItsEnd(args(killed), program);
  compare();
  return { kind: kind.name, kills, differences };
}

async function toItsEnd(args: readonly string[], options: ProgramOptions): Promise<Pace> {
  await using program = new Program(args, options);
  const begunMs = performance.now();
  let firstMs: number | undefined;
  // One that fails, or that was done already, prints no step: its end says what it was.
  const started = program
    .until(() => stepsOf(program) > 0)
    .then(
      () => (firstMs = performance.now()),
      () => undefined,
    );
  const { code, stderr } = await program.finished;
  await started;
  if (code !== 0) throw new Error(`espalier ${args.join(' ')} ended with ${code}:\n${stderr}`);
  const endMs = performance.now();
  const startMs = (firstMs ?? endMs) - begunMs;
  return { startMs, stepMs: (endMs - begunMs - startMs) / Math.max(1, stepsOf(program)) };
}

/** The last step that a run has told of; 0 before the first. */
function stepsOf({ stderr }: Program): number {
  return Number([...stderr.matchAll(/training (\d+)\/\d+/g)].at(-1)?.[1] ?? 0);
}

/** @returns undefined when the run ended before its kill */
async function killOnce(
  args: readonly string[],
  options: ProgramOptions,
  rng: Rng,
  { startMs, stepMs }: Pace,
): Promise<Kill | undefined> {
  const isEarly = rng.nextFloat() < EARLY;
  const [part, victim] = [rng.nextFloat(), VICTIMS[rng.nextBelow(VICTIMS.length)]];
  const numSteps = Number(args[args.indexOf('--max-steps') + 1]);
  const step = 1 + rng.nextBelow(numSteps);
  await using program = new Program(args, options);
  const begunMs = performance.now();
  let hasEnded = false;
  const ended = program.finished.then(() => (hasEnded = true));
  // A run that ends first lets `until` fail; whether it was sound is seen below.
  const reached = program.until(() => stepsOf(program) >= step).catch(() => undefined);
  if (!isEarly) await Promise.race([ended, reached]);
  await Promise.race([ended, delay(part * (isEarly ? startMs : stepMs))]);
  const seen =
    program.stderr
      .trim()
      .split(/[\r\n]/)
      .at(-1) ?? '';
  const afterMs = Math.round(performance.now() - begunMs);
  const struck = hasEnded ? undefined : strike(program, victim);
  const { code, signal, stderr } = await program.finished;
  await reached;
  if (code === 0) return undefined;
  const isOurs = struck === 'the training process' ? /ended by SIGKILL/.test(stderr) : signal === 'SIGKILL';
  if (struck === undefined || !isOurs) {
    throw new Error(`espalier ${args.join(' ')} ended with ${code ?? signal}, and not by the kill:\n${stderr}`);
  }
  return { victim: struck, afterMs, seen };
}

/** @returns who was killed: before the command has a child there is nobody else */
function strike(program: Program, victim: Victim): Victim {
  const children = victim === 'the training process' ? childrenOf(program.pid) : [];
  if (children.length > 0) {
    for (const child of children) process.kill(child, 'SIGKILL');
    return victim;
  }
  if (victim === 'both') program.killAll();
  else program.kill();
  return victim === 'both' ? 'both' : 'the command';
}

/** What a kill leaves must be whole: the checkpoint, and any file of the adapter that has its name already. */
function requireWhole(killed: string, whole: string): void {
  if (existsSync(join(killed, CHECKPOINT))) {
    using checkpoint = openSafetensors(join(killed, CHECKPOINT));
    for (const name of checkpoint.tensors.keys()) {
      if (!checkpoint.readFloats(name).every(Number.isFinite)) throw new Error(`${killed}: ${name} is not finite`);
    }
  }
  for (const name of DECIDED) {
    if (!existsSync(join(killed, name))) continue;
    if (!sameBytes(join(killed, name), join(whole, name))) throw new Error(`${killed}: ${name} has other bytes`);
  }
}

/** Compares two folders: the bytes of what a run decides, and the names of all files, so that nothing is left lying about. */
function differencesOf(whole: string, killed: string): string[] {
  const names = new Set([...filesIn(whole), ...filesIn(killed)]);
  if (!names.has(WEIGHTS) && !names.has(MODEL)) return [`${whole}: has no ${WEIGHTS} and no ${MODEL}`];
  return [...names].flatMap((name) => {
    if (!existsSync(join(killed, name))) return [`${name} is missing`];
    if (!existsSync(join(whole, name))) return [`${name} is left over`];
    return DECIDED.includes(name) && !sameBytes(join(killed, name), join(whole, name)) ? [`${name} differs`] : [];
  });
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(folder, path)).isFile(),
  );
}

function sameBytes(one: string, other: string): boolean {
  return existsSync(one) && existsSync(other) && readFileSync(one).equals(readFileSync(other));
}
