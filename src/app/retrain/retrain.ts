import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, EspalierError, fail } from '../../base/index.ts';
import { LATEST, referenceOf, type AdapterVersion } from '../../registry/index.ts';
import { CHECKPOINT_FILE, type TrainJob } from '../../training/index.ts';
import { parseTarget } from '../adapters/adapters.ts';
import { openedIn, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { measureHere, type Measure } from '../delivery/measure.ts';
import { Promotions } from '../delivery/promotions.ts';
import { ACTOR_CLI } from '../governance/entries.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { runJob, type TrainEvents, type TrainOutcome } from '../runs/train.ts';
import { TRAIN_DEFAULTS } from '../runs/train-options.ts';
import { recipeOf, settingsOn, type Recipe } from './recipe.ts';
import { retrainFolder } from './work-folders.ts';

export interface RetrainOptions {
  /** The base that the versions were trained on: its name or its digest. It need not be here any more. */
  readonly fromBase: string;
  readonly toBase: string;
  /** TENANT/TASK: what each `latest` points at is trained anew. Undefined: every task that `fromBase` answers. */
  readonly targets: readonly string[] | undefined;
  readonly isDryRun: boolean;
  /** A successor that scores no worse becomes `latest`, if the gate of its task lets it. */
  readonly promotesIfBetter: boolean;
}

export interface RetrainRow {
  readonly from: string;
  /** The successor; null: there is none. */
  readonly to: string | null;
  /** What both were scored by; null: nothing is there to score them by. */
  readonly metric: string | null;
  readonly before: number | null;
  readonly after: number | null;
  /** Null: the two cannot be compared. */
  readonly isBetter: boolean | null;
  readonly isPromoted: boolean;
  /** Why something was not done. */
  readonly problem: string | null;
}

export interface RetrainEvents {
  onModelProgress?: ModelProgress | undefined;
  onVersion?(version: AdapterVersion, index: number, total: number): void;
  trainEvents?: TrainEvents;
}

interface Scores {
  readonly metric: string;
  readonly before: number | null;
  readonly after: number | null;
  /** Less is better, and only where both bases cut texts alike. */
  readonly isLoss: boolean;
}

/**
 * Trains versions of one base anew on another, each by the data and the settings that it keeps, and scores both: by the gate of the task, else
 * by the held-out loss of the two runs. A successor is a new version; nothing answers by it before a promotion. What was begun by a process
 * that died is gone on with, and what was done is not done again. A version that cannot be trained anew has its row, too.
 * @throws MODEL_NOT_FOUND ADAPTER_NOT_FOUND USAGE_INVALID before anything is trained
 */
export async function retrainAdapters(
  config: AppConfig,
  options: RetrainOptions,
  events: RetrainEvents = {},
  signal?: AbortSignal,
): Promise<RetrainRow[]> {
  const base = await resolveBase(config, options.toBase, events.onModelProgress);
  await using platform = await openPlatform(config);
  const versions = versionsOf(platform, options);
  if (versions.some((version) => version.base.digest === base.digest)) {
    fail('USAGE_INVALID', `${options.toBase} is the base that they were trained on: give another`, {
      param: '--to-base',
    });
  }
  const measure = measureHere(config);
  const rows: RetrainRow[] = [];
  for (const [index, version] of versions.entries()) {
    events.onVersion?.(version, index, versions.length);
    try {
      rows.push(await retrainOne(config, platform, version, base, options, { measure, events, signal }));
    } catch (error) {
      // One that fails must not keep the others from their turn.
      if (!(error instanceof EspalierError) || error.code === 'CANCELLED') throw error;
      rows.push({ ...nothingOf(version), problem: error.message });
    }
  }
  return rows;
}

/** @throws ADAPTER_NOT_FOUND; USAGE_INVALID a named one is of another base, or there are none */
function versionsOf({ registry }: Platform, { fromBase, targets }: RetrainOptions): AdapterVersion[] {
  const isOf = ({ base }: AdapterVersion): boolean => base.name === fromBase || base.digest === fromBase;
  if (targets) {
    return targets.map((target) => {
      const { tenant, task } = parseTarget(target, 'target');
      const version = registry.resolve(null, `${tenant}/${task}`);
      if (isOf(version)) return version;
      return fail('USAGE_INVALID', `${referenceOf(version)} was trained on ${version.base.name}, not on ${fromBase}`);
    });
  }
  const found: AdapterVersion[] = [];
  for (let after: string | undefined; ;) {
    const page = registry.list(null, after === undefined ? {} : { after });
    found.push(...page.filter((version) => isOf(version) && registry.aliasesOf(version).includes(LATEST)));
    const last = page.at(-1);
    if (!last) break;
    after = referenceOf(last);
  }
  if (found.length === 0) fail('USAGE_INVALID', `no task is answered by an adapter of ${fromBase}`);
  return found;
}

interface Doing {
  readonly measure: Measure;
  readonly events: RetrainEvents;
  readonly signal: AbortSignal | undefined;
}

async function retrainOne(
  config: AppConfig,
  platform: Platform,
  version: AdapterVersion,
  base: Base,
  { isDryRun, promotesIfBetter }: RetrainOptions,
  { measure, events, signal }: Doing,
): Promise<RetrainRow> {
  const { registry, delivery } = platform;
  const nothing = nothingOf(version);
  const recipe = recipeOf(registry, version);
  if (typeof recipe === 'string') return { ...nothing, problem: recipe };
  const gate = delivery.gates.find(version.tenant, version.task);
  let successor = successorOf(platform, version, base);
  if (isDryRun) {
    return { ...nothing, to: successor ? referenceOf(successor) : null, metric: gate?.metric ?? 'validLoss' };
  }
  if (!successor) {
    const { trainEvents = {} } = events;
    const reference = await trainSuccessor(config, platform, version, base, recipe, trainEvents, signal);
    successor = registry.resolve(null, reference);
  }
  const scores = await scoresOf(platform, version, successor, measure);
  const isBetter = compare(scores, version, successor);
  const { metric, before, after } = scores;
  const row = { ...nothing, to: referenceOf(successor), metric, before, after, isBetter };
  if (!promotesIfBetter || isBetter !== true) return row;
  try {
    const request = { tenant: null, reference: row.to, alias: LATEST, actor: ACTOR_CLI, isGated: true };
    await new Promotions(platform, measure).promote(request);
    return { ...row, isPromoted: true };
  } catch (error) {
    return { ...row, problem: errorMessage(error) };
  }
}

/** What the same command made before. */
function successorOf({ registry }: Platform, version: AdapterVersion, base: Base): AdapterVersion | undefined {
  const { tenant, task } = version;
  return registry
    .list(tenant, { prefix: task })
    .filter((other) => other.task === task && other.base.digest === base.digest)
    .findLast(({ provenance }) => provenance['retrainedFrom'] === version.digest);
}

/** @returns the successor's reference */
async function trainSuccessor(
  config: AppConfig,
  { registry, work }: Platform,
  version: AdapterVersion,
  base: Base,
  recipe: Recipe,
  events: TrainEvents,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { tenant, task, digest } = version;
  const folder = retrainFolder(work, digest, base.digest);
  const output = join(folder, 'adapter');
  mkdirSync(folder, { recursive: true });
  await using train = await registry.data(version, 'train');
  await using valid = (await registry.data(version, 'valid')) ?? null;
  if (!train) return fail('ADAPTER_NOT_FOUND', `${referenceOf(version)} was removed meanwhile`);
  const resume = existsSync(join(output, CHECKPOINT_FILE));
  // What a run left that had ended, and was not published, is made again.
  if (!resume) rmSync(output, { recursive: true, force: true });
  const job: TrainJob = {
    base: openedIn(config, base, recipe.format, 'training'),
    threads: config.threads,
    dataPath: train.path,
    validPath: valid?.path,
    config: settingsOn(recipe, base),
    output,
    checkpointEverySteps: TRAIN_DEFAULTS.checkpointEvery,
    samples: 0,
    resume,
    baseModelName: base.repository,
  };
  const extras = { target: { tenant, task }, tensorboard: undefined, method: recipe.method, retrainedFrom: digest };
  const runOne = (one: TrainJob): Promise<TrainOutcome> => runJob(config, one, base, extras, events, { abort: signal });
  const outcome = await runOne(job).catch((error: unknown) => {
    const isStale = resume && error instanceof EspalierError && error.code === 'CHECKPOINT_INVALID';
    if (!isStale) throw error;
    // Of another version of the program, or with products that are rounded otherwise.
    rmSync(output, { recursive: true, force: true });
    return runOne({ ...job, resume: false });
  });
  rmSync(folder, { recursive: true, force: true });
  return outcome.adapter ?? fail('INTERNAL', `the successor of ${referenceOf(version)} was not published`);
}

/** By the gate's data where there is a gate; else what the two runs said of what they held out. */
async function scoresOf(
  { registry, delivery }: Platform,
  version: AdapterVersion,
  successor: AdapterVersion,
  measure: Measure,
): Promise<Scores> {
  const gate = delivery.gates.find(version.tenant, version.task);
  if (!gate) {
    const [before, after] = [version, successor].map(({ metrics }) => metrics['validLoss'] ?? null);
    return { metric: 'validLoss', before, after, isLoss: true };
  }
  const scoreOf = async (one: AdapterVersion): Promise<number> => {
    await using data = await delivery.gates.data(gate);
    const known = delivery.gates.score(one.tenant, one.digest, gate);
    const score = known ?? (await measure(one, gate, data.path));
    delivery.gates.addScore(one.tenant, one.digest, gate, score);
    registry.recordMetrics(one, { [`gate.${gate.metric}`]: score.value });
    return score.value;
  };
  const after = await scoreOf(successor);
  // The old base may be gone.
  const before = await scoreOf(version).catch((error: unknown) => {
    if (error instanceof EspalierError && error.code === 'MODEL_NOT_FOUND') return null;
    throw error;
  });
  return { metric: gate.metric, before, after, isLoss: gate.metric === 'loss' };
}

/** Losses are per token: of two tokenizers they say nothing about each other. */
function compare(scores: Scores, version: AdapterVersion, successor: AdapterVersion): boolean | null {
  if (scores.before === null || scores.after === null) return null;
  const [mine, theirs] = [version, successor].map(({ provenance }) => provenance['textDigest']);
  if (scores.isLoss) return mine !== undefined && mine === theirs ? scores.after <= scores.before : null;
  return scores.after >= scores.before;
}

function nothingOf(version: AdapterVersion): RetrainRow {
  return {
    from: referenceOf(version),
    to: null,
    metric: null,
    before: null,
    after: null,
    isBetter: null,
    isPromoted: false,
    problem: null,
  };
}
