import type { DryRun, TrainEvents, TrainOutcome } from '../app/index.ts';
import { formatBytes, formatSeconds, table, type Output, type Progress } from './output.ts';
import { previewText } from './preview.ts';
import { sparkline } from './sparkline.ts';

/** Figures of preference objectives that are worth a place in the line of progress. */
const LIVE_METRICS = ['rewards/margins'] as const;

/** In fewer steps than these an adapter hardly leaves its beginning, whatever the data. */
const FEW_STEPS = 16;

function fewSteps(steps: number): string {
  const epochs = Math.ceil(FEW_STEPS / steps);
  const how = `--epochs ${epochs} or smaller --batch-tokens make more`;
  return `warning: ${steps === 1 ? 'one step' : `${steps} steps`} in all, in which an adapter learns little: ${how}`;
}

/** What a run says while it lasts. */
export function trainEvents(output: Output, progress: Progress): Pick<TrainEvents, 'onFit' | 'onStarted' | 'onStep'> {
  const losses: number[] = [];
  return {
    onFit({ microBatchTokens, recompute, plannedBytes, budgetBytes }) {
      const how = recompute ? 'activations are computed again' : 'activations are kept';
      output.line(
        `memory: micro-batches of ${microBatchTokens} tokens, ${how}: ${formatBytes(plannedBytes)} planned of ${formatBytes(budgetBytes)}`,
      );
    },
    onStarted(started) {
      for (const { where, message } of started.warnings) output.line(`warning: ${where}: ${message}`);
      const share = (100 * started.trainableParameters) / started.totalParameters;
      output.line(
        `${started.trainExamples} examples, ${started.trainTokens} tokens; ${started.trainableParameters} trainable parameters (${share.toFixed(2)} % of ${started.totalParameters})`,
      );
      if (started.isHeldOut) output.line(`${started.validExamples} examples of the data are held out (--valid-share)`);
      if (started.totalSteps < FEW_STEPS) output.line(fewSteps(started.totalSteps));
      if (started.startStep > 0) output.line(`resumed after step ${started.startStep}`);
    },
    onStep({ report, tokensPerSecond, secondsLeft }) {
      losses.push(report.loss);
      const valid = report.valid ? `, held-out ${report.valid.loss.toFixed(4)}` : '';
      const metrics = LIVE_METRICS.filter((name) => name in report.metrics)
        .map((name) => `, ${name} ${report.metrics[name].toFixed(3)}`)
        .join('');
      const note = `loss ${report.loss.toFixed(4)} ${sparkline(losses)}${valid}${metrics}, ${Math.round(tokensPerSecond)} tokens/s, ${formatSeconds(secondsLeft)} left`;
      progress.update(report.step, report.totalSteps, note);
    },
  };
}

export function outcomeText(outcome: TrainOutcome): string {
  const stopped = outcome.stoppedEarly ? ', stopped early' : '';
  const rows: [string, string][] = [
    ['adapter', outcome.adapter ?? outcome.output],
    ['digest', outcome.digest],
    ['steps', `${outcome.steps} (best: ${outcome.bestStep}${stopped})`],
    ['learning rate', String(outcome.learningRate)],
    ['train loss', outcome.trainLoss.toFixed(4)],
    ['held-out loss', outcome.validLoss?.toFixed(4) ?? 'none (give --valid)'],
    ['held-out accuracy', outcome.validAccuracy?.toFixed(4) ?? 'none'],
    ['tokens', `${outcome.trainedTokens} at ${Math.round(outcome.tokensPerSecond)}/s`],
    ['time', formatSeconds(outcome.seconds)],
    ['size', formatBytes(outcome.adapterBytes)],
    ['base weights', `${outcome.baseFormat}, products in ${outcome.computeDtype}`],
    ['peak memory', formatBytes(outcome.peakMemoryBytes)],
    ['last adapter', outcome.lastOutput ?? 'the same'],
    ['record', outcome.files.record],
    ['curves', outcome.files.curves],
  ];
  const curve = `loss ${outcome.trainLosses[0].toFixed(4)} ${sparkline(outcome.trainLosses, 48)} ${outcome.trainLoss.toFixed(4)}`;
  return `${table(rows)}\n${curve}`;
}

export function dryRunText(run: DryRun): string {
  const { train, config } = run;
  const objective = config.objective ?? { name: 'sft' };
  const settings = Object.entries(objective).map(([name, value]) => (name === 'name' ? value : `${name} ${value}`));
  const steps = config.maxSteps ?? config.epochs * Math.ceil(train.tokens / config.batchTokens);
  return [
    table([
      ['examples', `${train.examples}, ${run.validExamples} held out`],
      ['tokens', `${train.tokens}, ${train.learnedTokens} of them learned`],
      ['tokens of an example', `median ${train.lengths.p50}, 95 % ${train.lengths.p95}, longest ${train.lengths.max}`],
      ['objective', settings.join(', ')],
      ['trainable parameters', String(run.trainableParameters)],
      ['learning rate', `${config.learningRate} (${config.schedule}, warm-up ${config.warmup})`],
      ['steps', `about ${steps}`],
    ]),
    ...run.warnings.map(({ where, message }) => `warning: ${where}: ${message}`),
    previewText(train.preview),
  ].join('\n');
}
