import { join } from 'node:path';
import { fail, type EspalierError } from '../../base/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import type { AppConfig } from '../config.ts';
import { resolveBase } from '../bases.ts';
import { trainGroup, type GroupOutcome } from './train-group.ts';
import { baseFormat } from './run-settings.ts';
import { claimSweep, sweepIdentity } from './sweep-state.ts';
import { publishTarget, publishTrained, trainJob, type TrainEvents, type TrainOutcome } from './train.ts';
import { teacherOf } from './teacher.ts';
import type { TrainOptions } from './train-options.ts';
import type { TrainerSignals } from './trainer-process.ts';

/** What `espalier sweep` takes: training options, with lists where a grid has an axis. */
export interface SweepOptions extends Omit<TrainOptions, 'method' | 'rank' | 'learningRate' | 'memory'> {
  readonly methods: readonly TrainOptions['method'][];
  /** By default what each method has. */
  readonly ranks?: readonly number[] | undefined;
  /** By default what `train` takes for the method. */
  readonly learningRates?: readonly number[] | undefined;
  /** Tokens of one pass over all runs, at most. */
  readonly groupTokens: number;
}

/** One line of the table. */
export interface SweepRow {
  /** Also its folder under the output folder. */
  readonly name: string;
  readonly method: TrainOptions['method'];
  /** Null when the sweep does not say. */
  readonly rank: number | null;
  readonly learningRate: number | null;
  readonly result: TrainOutcome | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Its trained tokens among those of all runs: their share of the time, since a token costs about the same in each. */
  readonly timeShare: number;
}

export interface SweepReport {
  readonly rows: readonly SweepRow[];
  /** Lowest loss on the held-out data; on the training data where there is none. Null when every run failed. */
  readonly best: string | null;
}

export interface SweepEvents extends Pick<TrainEvents, 'onModelProgress'> {
  /** @param tokensPerSecond of all runs together */
  onStep?(progress: { step: number; totalSteps: number; numRunning: number; tokensPerSecond: number }): void;
}

/**
 * Trains every combination of method, rank and rate as one group in one process; `publish` is for the best of them. With `resume` an
 * unfinished sweep goes on: what has come to its end is kept, and the report is that of a sweep that nobody has interrupted.
 * @param signals `stop` leaves a checkpoint of every run that is under way; `abort` ends the process at once
 * @throws REQUEST_INVALID for an empty axis; USAGE_INVALID CHECKPOINT_INVALID as {@link claimSweep}; CANCELLED after `stop`. A run that
 *   fails is a row with its error, not an exception
 */
export async function sweep(
  config: AppConfig,
  options: SweepOptions,
  events: SweepEvents = {},
  { abort, stop }: TrainerSignals = {},
): Promise<SweepReport> {
  const points = gridOf(options);
  const target = publishTarget(options.publish);
  const format = formatOf(options);
  const base = await resolveBase(config, options.base, events.onModelProgress, format, 'training');
  const optionsOf = ({ name, method, rank, learningRate }: Point): TrainOptions => {
    return { ...options, method, rank, learningRate, output: join(options.output, name) };
  };
  const jobs = points.map((point) => [point.name, () => trainJob(config, optionsOf(point), base)] as const);
  using claim = claimSweep(options.output, sweepIdentity(base, options, jobs), options);
  const group = await trainGroup(
    config,
    { base: options.base, format, maxTokens: options.groupTokens, onModelProgress: events.onModelProgress },
    abort,
  );
  const progress = new Map<string, { step: number; totalSteps: number; tokensPerSecond: number }>();
  const outcomes = points.map(async (point): Promise<GroupOutcome> => {
    const { name } = point;
    const outcome = await group.add(
      { name, options: { ...optionsOf(point), publish: undefined }, continues: options.resume },
      {
        onStarted: ({ startStep, totalSteps }) => {
          progress.set(name, { step: startStep, totalSteps, tokensPerSecond: 0 });
        },
        onStep: ({ report: { step, totalSteps }, tokensPerSecond }) => {
          progress.set(name, { step, totalSteps, tokensPerSecond });
          events.onStep?.(totalOf(progress));
        },
      },
      stop,
    );
    const last = progress.get(name) ?? (outcome.outcome && { step: outcome.outcome.steps });
    // What is left of a run that failed will not be trained; its rate is nobody's any more.
    if (last) progress.set(name, { step: last.step, totalSteps: last.step, tokensPerSecond: 0 });
    return outcome;
  });
  await group.end();
  const finished = await Promise.all(outcomes);
  if (stop?.aborted && finished.some(({ error }) => error?.code === 'CANCELLED')) {
    const left = `the sweep has left a checkpoint of each unfinished run in ${options.output}`;
    fail('CANCELLED', `${left} and stopped: --resume goes on with them`);
  }
  const totalTokens = finished.reduce((sum, { outcome }) => sum + (outcome?.trainedTokens ?? 0), 0);
  const rows = points.map((point, index): SweepRow => {
    const { outcome, error } = finished[index];
    const timeShare = totalTokens === 0 ? 0 : (outcome?.trainedTokens ?? 0) / totalTokens;
    const { name, method, rank = null, learningRate = null } = point;
    return { name, method, rank, learningRate, result: outcome ?? null, error: error ? plain(error) : null, timeShare };
  });
  const best = bestOf(rows);
  const winner = rows.findIndex(({ name }) => name === best);
  const result = rows.at(winner)?.result;
  if (target && winner >= 0 && result) {
    const teacher = await teacherOf(config, options, base);
    const job = trainJob(config, optionsOf(points[winner]), base, undefined, teacher);
    const published = await publishTrained(config, base, job, result, { target, method: points[winner].method });
    rows[winner] = { ...rows[winner], result: published };
  }
  if (finished.every(({ error }) => error === undefined || isItsOwn(error))) claim.finish();
  return { rows, best };
}

/** Whether a run would meet with the error again: then it has come to its end. */
function isItsOwn({ code, kind }: EspalierError): boolean {
  return (kind === 'invalid' || kind === 'not-found') && code !== 'CHECKPOINT_INVALID';
}

/** The one format of the base that all methods can train on. @throws USAGE_INVALID */
function formatOf({ methods, format }: SweepOptions): WeightFormat {
  const formats = new Set(methods.map((method) => baseFormat({ method, format })));
  const [only = 'bf16', ...others] = formats;
  if (others.length > 0) {
    fail(
      'USAGE_INVALID',
      'qlora trains on a base in nf4, the other methods on one in bf16, and a sweep has one base: give --format nf4, or sweep twice',
      { param: 'format' },
    );
  }
  return only;
}

interface Point {
  readonly name: string;
  readonly method: TrainOptions['method'];
  readonly rank: number | undefined;
  readonly learningRate: number | undefined;
}

function gridOf(options: SweepOptions): Point[] {
  const { methods } = options;
  const ranks: readonly (number | undefined)[] = options.ranks ?? [undefined];
  const learningRates: readonly (number | undefined)[] = options.learningRates ?? [undefined];
  const points = methods.flatMap((method) =>
    ranks.flatMap((rank) =>
      learningRates.map((learningRate) => ({
        name: [method, rank && `r${rank}`, learningRate && `lr${learningRate}`].filter(Boolean).join('-'),
        method,
        rank,
        learningRate,
      })),
    ),
  );
  if (points.length === 0) fail('REQUEST_INVALID', 'a sweep needs at least one method, one rank and one learning rate');
  return points;
}

function totalOf(runs: ReadonlyMap<string, { step: number; totalSteps: number; tokensPerSecond: number }>) {
  const total = { step: 0, totalSteps: 0, numRunning: 0, tokensPerSecond: 0 };
  for (const { step, totalSteps, tokensPerSecond } of runs.values()) {
    total.step += step;
    total.totalSteps += totalSteps;
    total.tokensPerSecond += tokensPerSecond;
    if (step < totalSteps) total.numRunning++;
  }
  return total;
}

/** The first of the lowest. */
function bestOf(rows: readonly SweepRow[]): string | null {
  let best: { readonly name: string; readonly loss: number } | undefined;
  for (const { name, result } of rows) {
    if (!result) continue;
    const loss = result.validLoss ?? result.trainLoss;
    if (!best || loss < best.loss) best = { name, loss };
  }
  return best?.name ?? null;
}

function plain({ code, message }: EspalierError): { code: string; message: string } {
  return { code, message };
}
