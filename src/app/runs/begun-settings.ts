import { isCheckpointOf, type RunConfig } from '../../training/index.ts';

/**
 * The settings with which a run goes on from a checkpoint: those that it was begun with, where the defaults have changed since. Weight decay once
 * reached biases and norms too.
 */
export function begunSettings(config: RunConfig, checkpoint: string): RunConfig {
  if (config.optimizer.sparesBiasesAndNorms === undefined) return config;
  const { sparesBiasesAndNorms: _spares, ...optimizer } = config.optimizer;
  const before = { ...config, optimizer };
  return isCheckpointOf(checkpoint, before) ? before : config;
}
