import { Worker } from 'node:worker_threads';
import { EspalierError, fail, rebuildError } from '../../base/index.ts';
import type { Gate, GateScore } from '../../delivery/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { AppConfig } from '../config.ts';
import { evaluateFile, METRICS, type EvaluateOptions } from '../evaluate.ts';
import type { MeasureAnswer, MeasureRequest } from './measure-messages.ts';

/** Scores a version on a gate's data. */
export type Measure = (version: AdapterVersion, gate: Gate, dataPath: string) => Promise<GateScore>;

/** In this thread, on all of its cores: for commands. */
export function measureHere(config: AppConfig, onProgress?: (numDone: number, total: number) => void): Measure {
  return (version, gate, dataPath) =>
    evaluateFile(config, optionsOf(version, gate, dataPath), onProgress ? { onProgress } : {});
}

/**
 * On a thread of its own and one core, one version after the other: for a server, whose requests must not wait for it. What is asked
 * twice while it is measured is measured once.
 */
export class MeasuringThread implements AsyncDisposable {
  readonly #config: AppConfig;
  readonly #underway = new Map<string, Promise<GateScore>>();
  #last: Promise<unknown> = Promise.resolve();
  #worker: Worker | undefined;

  constructor(config: AppConfig) {
    this.#config = { ...config, threads: 1 };
  }

  readonly measure: Measure = (version, gate, dataPath) => {
    const options = optionsOf(version, gate, dataPath);
    const key = JSON.stringify(options);
    const known = this.#underway.get(key);
    if (known) return known;
    const measured = this.#last.then(() => this.#run(options)).finally(() => this.#underway.delete(key));
    this.#underway.set(key, measured);
    this.#last = measured.catch(() => undefined);
    return measured;
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  /** A thread for each, so that the memory of base and adapter is given back. */
  #run(options: EvaluateOptions): Promise<GateScore> {
    const workerData: MeasureRequest = { config: this.#config, options };
    const worker = new Worker(new URL('./measure-worker.ts', import.meta.url), { workerData, execArgv: [] });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      worker.on('message', (answer: MeasureAnswer) =>
        'score' in answer ? resolve(answer.score) : reject(rebuildError(answer.error)),
      );
      worker.on('error', (cause) => reject(new EspalierError('INTERNAL', 'the measurement broke off', { cause })));
      worker.on('exit', () => reject(new EspalierError('CANCELLED', 'the measurement was broken off')));
    });
  }
}

function optionsOf(version: AdapterVersion, { metric, maxTokens }: Gate, data: string): EvaluateOptions {
  const known = METRICS.find((name) => name === metric);
  if (!known) fail('REQUEST_INVALID', `the gate’s metric "${metric}" is not known: set the gate anew`);
  return { base: version.base.name, adapter: referenceOf(version), data, metric: known, maxTokens };
}
