/** The parts of `espalier routes` about new versions: gates, canaries, shadows, events. */
import { Command, InvalidArgumentError } from 'commander';
import {
  CANARY_DEFAULTS,
  clearGate,
  deliveryEvents,
  METRICS,
  setGate,
  shadowReport,
  showCanary,
  startCanary,
  startShadow,
  stopCanary,
  stopShadow,
  type AppConfig,
  type CanaryReport,
  type CanarySettings,
  type EvaluateOptions,
} from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { nonNegativeNumber, oneOf, positiveInteger, positiveNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

interface GateFlags extends OutputOptions {
  readonly data?: string;
  readonly metric?: EvaluateOptions['metric'];
  readonly threshold?: number;
  readonly noWorseThan?: number;
  readonly maxTokens: number;
  readonly clear?: boolean;
}

export function gateCommand(config: AppConfig): Command {
  return json('gate', 'what a version must score before it may answer a task')
    .argument('<name>', 'TENANT/TASK')
    .option('--data <file>', 'held-out examples; a copy is kept')
    .option('--metric <name>', METRICS.join(', '), oneOf(METRICS))
    .option('--threshold <n>', 'the score is at least this; a loss at most', finite)
    .option('--no-worse-than <n>', 'and at most so much worse than that of the version that answers', nonNegativeNumber)
    .option('--max-tokens <n>', 'tokens of an answer, at most', positiveInteger, 128)
    .option('--clear', 'take the gate away')
    .action(async (name: string, flags: GateFlags) => {
      const output = new Output(flags);
      if (flags.clear === true) {
        await clearGate(config, name);
        output.result({ gate: null }, `${name} has no gate`);
        return;
      }
      const { data, metric, maxTokens } = flags;
      if (data === undefined || metric === undefined) {
        fail('USAGE_INVALID', 'give --data and --metric, or --clear', { param: '--data' });
      }
      const [threshold, tolerance] = [flags.threshold ?? null, flags.noWorseThan ?? null];
      const gate = await setGate(config, name, { data, metric, threshold, tolerance, maxTokens });
      const bounds = [
        threshold === null ? [] : [`${metric === 'loss' ? 'at most' : 'at least'} ${threshold}`],
        tolerance === null ? [] : [`no worse than what answers by more than ${tolerance}`],
      ].flat();
      output.result(gate, `${name}: ${metric} on ${gate.dataName} ${bounds.join(' and ')}`);
    });
}

interface CanaryFlags extends Omit<CanarySettings, 'shares'>, OutputOptions {
  readonly share: number;
  readonly steps?: number[];
  readonly gate: boolean;
}

export function canaryCommand(config: AppConfig): Command {
  const defaults = CANARY_DEFAULTS;
  const start = json('start', 'let a version answer a part of a task’s sessions, and roll it back when it does badly')
    .argument('<ref>', 'TENANT/TASK@VERSION')
    .requiredOption('--share <n>', 'of the sessions, 0 to 1', share)
    .option('--steps <list>', 'the shares after it, with commas between', shares)
    .option('--promote', 'make it latest after the last step', false)
    .option('--min-requests <n>', 'that it answers in each step', positiveInteger, defaults.minRequests)
    .option('--min-seconds <n>', 'that a step takes', nonNegativeNumber, defaults.minSeconds)
    .option(
      '--max-error-increase <n>',
      'above the error rate of the others',
      nonNegativeNumber,
      defaults.maxErrorIncrease,
    )
    .option('--max-error-rate <n>', 'of its requests', nonNegativeNumber)
    .option('--min-score <n>', 'mean of its scores (POST /api/feedback)', nonNegativeNumber)
    .option('--max-score-drop <n>', 'below the mean of the others’ scores', nonNegativeNumber)
    .option('--max-latency-factor <n>', 'times the others’ seconds', positiveNumber)
    .option('--no-gate', 'do not ask the task’s gate first; this is recorded')
    .action(async (reference: string, flags: CanaryFlags) => {
      const output = new Output(flags);
      const settings: CanarySettings = {
        shares: [flags.share, ...(flags.steps ?? [])],
        promote: flags.promote,
        minRequests: flags.minRequests,
        minSeconds: flags.minSeconds,
        maxErrorIncrease: flags.maxErrorIncrease,
        maxErrorRate: flags.maxErrorRate ?? null,
        minScore: flags.minScore ?? null,
        maxScoreDrop: flags.maxScoreDrop ?? null,
        maxLatencyFactor: flags.maxLatencyFactor ?? null,
      };
      const report = await startCanary(config, reference, settings, flags.gate);
      output.result(report, `${reference} answers ${flags.share} of the sessions`);
    });
  const show = json('show', 'the latest canary of a task, with what was counted')
    .argument('<name>', 'TENANT/TASK')
    .action(async (name: string, options: OutputOptions) => {
      const report = await showCanary(config, name);
      new Output(options).result(report, canaryText(report));
    });
  const stop = json('stop', 'let the others answer again')
    .argument('<name>', 'TENANT/TASK')
    .action(async (name: string, options: OutputOptions) => {
      const canary = await stopCanary(config, name);
      new Output(options).result(canary, `${name}: version ${canary.version} is no canary any more`);
    });
  return group('canary', 'a new version on a part of a task’s sessions', [start, show, stop]);
}

function canaryText({ canary, share: now, counts }: CanaryReport): string {
  const rowOf = (name: string, { requests, errors, logSeconds, scores }: CanaryReport['counts']['canary']) => [
    name,
    requests,
    errors,
    logSeconds.count === 0 ? '-' : Math.exp(logSeconds.sum / logSeconds.count).toFixed(3),
    scores.count === 0 ? '-' : `${(scores.sum / scores.count).toFixed(3)} of ${scores.count}`,
  ];
  const head = `version ${canary.version}: ${canary.status}${canary.reason === null ? '' : `, ${canary.reason}`}`;
  return `${head}\nshare ${now}, step ${canary.step + 1} of ${canary.settings.shares.length}\n${table([
    ['', 'requests', 'failed', 'seconds', 'score'],
    rowOf('canary', counts.canary),
    rowOf('others', counts.stable),
  ])}`;
}

export function shadowCommand(config: AppConfig): Command {
  const start = json('start', 'ask a version too, when nobody else asks, and compare its answers')
    .argument('<ref>', 'TENANT/TASK@VERSION')
    .option('--share <n>', 'of the task’s requests, 0 to 1', share, 1)
    .action(async (reference: string, options: { share: number } & OutputOptions) => {
      const shadow = await startShadow(config, reference, options.share);
      new Output(options).result(shadow, `${reference} is asked ${options.share} of the requests too`);
    });
  const report = json('report', 'how the answers of a task’s latest shadow compare')
    .argument('<name>', 'TENANT/TASK')
    .action(async (name: string, options: OutputOptions) => {
      const found = await shadowReport(config, name);
      const { shadow, primary, shadowed } = found;
      const mean = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(1));
      const text = table([
        ['version', String(shadow.version)],
        ['compared', String(found.compared)],
        ['failed', `${found.failed}${found.lastError === null ? '' : ` (${found.lastError})`}`],
        ['skipped', String(shadow.skipped)],
        ['the same text', found.equalShare === null ? '-' : `${(100 * found.equalShare).toFixed(1)} %`],
        ['similarity (ROUGE-L)', found.meanSimilarity?.toFixed(3) ?? '-'],
        ['tokens, theirs and its', `${mean(primary?.tokens)} ${mean(shadowed?.tokens)}`],
        ['characters', `${mean(primary?.chars)} ${mean(shadowed?.chars)}`],
        ['milliseconds', `${mean(primary?.ms)} ${mean(shadowed?.ms)}`],
        ...found.leastSimilar.map(({ requestId, similarity }) => [requestId, similarity.toFixed(3)]),
      ]);
      new Output(options).result(found, text);
    });
  const stop = json('stop', 'ask the shadow of a task no more')
    .argument('<name>', 'TENANT/TASK')
    .action(async (name: string, options: OutputOptions) => {
      const shadow = await stopShadow(config, name);
      new Output(options).result(shadow, `${name}: version ${shadow.version} is no shadow any more`);
    });
  return group('shadow', 'a version that is asked beside the one that answers', [start, report, stop]);
}

export function eventsCommand(config: AppConfig): Command {
  return json('events', 'what was done about who answers a task, the latest first')
    .argument('<name>', 'TENANT/TASK')
    .option('--limit <n>', 'at most so many', positiveInteger, 50)
    .action(async (name: string, options: { limit: number } & OutputOptions) => {
      const events = await deliveryEvents(config, name, options.limit);
      const rows = events.map(({ at, kind, version, actor, message }) => [
        new Date(at).toISOString().slice(0, 19),
        kind,
        version === null ? '-' : String(version),
        actor ?? 'a rule',
        message,
      ]);
      const text = rows.length === 0 ? 'none' : table([['at (UTC)', 'what', 'version', 'by', ''], ...rows]);
      new Output(options).result(events, text);
    });
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('expected a number above 0, at most 1.');
  return value;
}

function shares(text: string): number[] {
  return text.split(',').map((part) => share(part.trim()));
}

function finite(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number.');
  return value;
}

function group(name: string, description: string, commands: readonly Command[]): Command {
  const command = new Command(name).description(description);
  for (const child of commands) command.addCommand(child);
  return command;
}

function json(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document');
}
