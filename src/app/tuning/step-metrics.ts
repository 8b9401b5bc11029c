import type { CheckpointMetrics } from '../../jobs/index.ts';

const HEADER = 'step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy';

/** A job's result file: OpenAI's columns, a line for each step; what was not measured is empty. */
export function stepMetricsCsv(steps: readonly CheckpointMetrics[]): string {
  const lines = steps.map(({ step, trainLoss, trainAccuracy, validLoss, validAccuracy }) =>
    [step, trainLoss, trainAccuracy, validLoss ?? '', validAccuracy ?? ''].join(','),
  );
  return `${[HEADER, ...lines].join('\n')}\n`;
}
