import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { EspalierError, fail } from '../base/index.ts';
import { openSafetensors, writeSafetensors, type NamedTensor } from '../formats/index.ts';
import type { RunConfig } from './run-config.ts';
import type { RunState } from './run-state.ts';
import type { TrainingRun } from './run.ts';

/** What must be the same when a run goes on. */
export interface RunIdentity {
  readonly base: string;
  readonly train: string;
  readonly valid: string | null;
  readonly config: RunConfig;
}

/** What is wrong with a checkpoint that is damaged, or none: the error's `param`. */
export const UNREADABLE = 'file';

/** What an error calls the settings of a run. */
const CONFIGURATION = 'configuration';

/** The checkpoint's layout; a file with another number is refused. */
const VERSION = 2;

interface CheckpointState {
  readonly version: number;
  readonly identity: Record<string, string>;
  readonly state: Omit<RunState, 'best'>;
  readonly best: { readonly step: number; readonly loss: number } | null;
}

/**
 * Saves everything that changes during a run in one safetensors file: values, both moments, what the method remembers, the best values so far, and (in the
 * metadata) counters, losses and the dropout generator. Written aside, synced and renamed: a kill at any moment leaves the last one whole.
 */
export function saveCheckpoint(path: string, run: TrainingRun, identity: RunIdentity): void {
  const tensors = new Map<string, NamedTensor>();
  for (const [index, { name, value }] of run.parameters.entries()) {
    const { shape } = value;
    const moments = run.moments[index];
    tensors.set(`value.${name}`, { shape, data: value.data as Float32Array });
    if (moments) {
      tensors.set(`moment1.${name}`, { shape, data: moments.first });
      tensors.set(`moment2.${name}`, { shape, data: moments.second });
    }
    const best = run.state.best?.values[index];
    if (best) tensors.set(`best.${name}`, { shape, data: best });
  }
  for (const [name, { shape, data }] of run.stepRule?.state ?? []) {
    tensors.set(`rule.${name}`, { shape, data: data as Float32Array });
  }
  const { best, ...state } = run.state;
  const saved: CheckpointState = {
    version: VERSION,
    identity: identityDigests(identity),
    state,
    best: best ? { step: best.step, loss: best.loss } : null,
  };
  writeSafetensors(path, tensors, { format: 'pt', espalier: JSON.stringify(saved) });
}

/**
 * Puts a run where the checkpoint left it.
 * @throws CHECKPOINT_INVALID when there is none, when it is damaged, or when it belongs to another base, data or configuration: the message
 *   says which; the run is of no use then
 */
export function loadCheckpoint(path: string, run: TrainingRun, identity: RunIdentity): void {
  if (!existsSync(path)) fail('CHECKPOINT_INVALID', `${path}: there is no checkpoint to resume: run without --resume`);
  try {
    readCheckpoint(path, run, identity);
  } catch (error) {
    if (!(error instanceof EspalierError && error.code === 'FILE_INVALID')) throw error;
    fail('CHECKPOINT_INVALID', `the checkpoint cannot be read: ${error.message}: begin anew with --restart`, {
      param: UNREADABLE,
      cause: error,
    });
  }
}

/** Whether there is a checkpoint of a run with these settings. */
export function isCheckpointOf(path: string, config: RunConfig): boolean {
  if (!existsSync(path)) return false;
  try {
    const file = openSafetensors(path);
    try {
      return parseState(path, file.metadata['espalier']).identity[CONFIGURATION] === digestOf(config);
    } finally {
      file.close();
    }
  } catch (error) {
    // Whoever goes on from it is told.
    if (error instanceof EspalierError) return false;
    throw error;
  }
}

function readCheckpoint(path: string, run: TrainingRun, identity: RunIdentity): void {
  const file = openSafetensors(path);
  try {
    const saved = parseState(path, file.metadata['espalier']);
    for (const [what, digest] of Object.entries(identityDigests(identity))) {
      if (saved.identity[what] === digest) continue;
      fail(
        'CHECKPOINT_INVALID',
        `${path}: was made with another ${what}: resume with the same ${what}, or start anew without --resume`,
        { param: what },
      );
    }
    for (const [index, { name, value }] of run.parameters.entries()) {
      (value.data as Float32Array).set(file.readFloats(`value.${name}`));
      run.moments[index]?.first.set(file.readFloats(`moment1.${name}`));
      run.moments[index]?.second.set(file.readFloats(`moment2.${name}`));
    }
    for (const [name, { data }] of run.stepRule?.state ?? []) data.set(file.readFloats(`rule.${name}`));
    const best = saved.best && {
      ...saved.best,
      values: run.parameters.map(({ name }) => file.readFloats(`best.${name}`)),
    };
    Object.assign(run.state, saved.state, { best: best ?? undefined });
  } finally {
    file.close();
  }
}

function parseState(path: string, text: string | undefined): CheckpointState {
  if (text === undefined) {
    fail('CHECKPOINT_INVALID', `${path}: is not a checkpoint of Espalier`, { param: UNREADABLE });
  }
  const saved = parsed(path, text);
  if (saved.version !== VERSION) {
    fail(
      'CHECKPOINT_INVALID',
      `${path}: has version ${saved.version}, this program reads ${VERSION}: start anew without --resume`,
    );
  }
  return saved;
}

function parsed(path: string, text: string): CheckpointState {
  try {
    return JSON.parse(text) as CheckpointState;
  } catch (error) {
    return fail('CHECKPOINT_INVALID', `${path}: what it says of its run is no JSON: begin anew with --restart`, {
      param: UNREADABLE,
      cause: error,
    });
  }
}

/** One digest for each thing that must not change, so that the error can say which did. */
function identityDigests({ base, train, valid, config }: RunIdentity): Record<string, string> {
  return { base, 'training data': train, 'held-out data': valid ?? 'none', [CONFIGURATION]: digestOf(config) };
}

function digestOf(config: RunConfig): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex');
}
