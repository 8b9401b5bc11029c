import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomicSync, type Clock } from '../../base/index.ts';
import { EventFile } from '../../formats/index.ts';
import {
  RUN_FOLDER,
  type Sample,
  type StepReport,
  type TrainJob,
  type TrainResult,
  type TrainStarted,
} from '../../training/index.ts';
import type { Base } from '../bases.ts';
import { drawCurves } from './curves.ts';
import { modelCard } from './model-card.ts';
import { writeRunRecord } from './run-record.ts';

const RECORD = 'run.json';
const CURVES = 'curves.svg';
const SAMPLES = 'samples.jsonl';
const CARD = 'README.md';

/** Where a run's record is. */
export interface RunFiles {
  readonly record: string;
  readonly curves: string;
}

/** Of a run that wrote its adapter to `output`. */
export function runFiles(output: string): RunFiles {
  return { record: join(output, RUN_FOLDER, RECORD), curves: join(output, RUN_FOLDER, CURVES) };
}

/**
 * What is left of a run beside its adapter: samples and TensorBoard events while it lasts; at the end its record, its curves and the
 * adapter's card. It only listens: nothing of it changes the run.
 */
export class RunJournal implements Disposable {
  readonly #base: Base;
  readonly #job: TrainJob;
  readonly #clock: Clock;
  readonly #tensorboard: string | undefined;
  readonly #folder: string;
  #samples: Sample[] = [];
  #events: EventFile | undefined;

  constructor(base: Base, job: TrainJob, { tensorboard, clock }: { tensorboard: string | undefined; clock: Clock }) {
    this.#base = base;
    this.#job = job;
    this.#clock = clock;
    this.#tensorboard = tensorboard;
    this.#folder = join(job.output, RUN_FOLDER);
  }

  started({ startStep }: TrainStarted): void {
    mkdirSync(this.#folder, { recursive: true });
    // A run that is resumed keeps what was sampled up to its checkpoint; steps after it are taken again.
    this.#samples = startStep === 0 ? [] : readSamples(this.#path(SAMPLES)).filter(({ step }) => step <= startStep);
    for (const name of [RECORD, CURVES]) rmSync(this.#path(name), { force: true });
    // What is kept stays on disk all the time: the next kill may come before the next sample.
    if (this.#samples.length > 0) this.#writeSamples();
    else rmSync(this.#path(SAMPLES), { force: true });
    if (this.#tensorboard !== undefined) this.#events = new EventFile(this.#tensorboard, this.#clock.epochMs());
  }

  step({ step, loss, accuracy, gradientNorm, learningRate, metrics, valid }: StepReport): void {
    const named = (part: string, values: Readonly<Record<string, number>>): Record<string, number> =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [`${part}/${name}`, value]));
    this.#events?.add({
      step,
      epochMs: this.#clock.epochMs(),
      values: {
        ...named('train', { loss, accuracy, gradient_norm: gradientNorm, learning_rate: learningRate, ...metrics }),
        ...(valid && named('valid', { loss: valid.loss, accuracy: valid.accuracy, ...valid.metrics })),
      },
    });
  }

  sampled(samples: readonly Sample[]): void {
    this.#samples.push(...samples);
    this.#writeSamples();
  }

  finished(result: TrainResult): RunFiles {
    const files = runFiles(this.#job.output);
    writeFileAtomicSync(join(this.#job.output, CARD), [Buffer.from(modelCard(this.#job, result))]);
    writeFileAtomicSync(files.curves, [Buffer.from(drawCurves(result))]);
    writeRunRecord(files.record, this.#base, this.#job, result);
    return files;
  }

  [Symbol.dispose](): void {
    this.#events?.[Symbol.dispose]();
    this.#events = undefined;
  }

  #writeSamples(): void {
    const lines = this.#samples.map((sample) => `${JSON.stringify(sample)}\n`).join('');
    writeFileAtomicSync(this.#path(SAMPLES), [Buffer.from(lines)]);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function readSamples(path: string): Sample[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Sample);
}
