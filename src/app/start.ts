import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_ADAPTER, compileAdapter, readArtefact, type CompiledAdapter } from '../adapters/index.ts';
import { EspalierError } from '../base/index.ts';
import { loadDemoTasks, type ChatExample, type DemoTask } from '../demo/index.ts';
import { openBase, type BaseModel } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../text/index.ts';
import { resolveBase, type ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';
import { scoreQuestions } from './evaluate.ts';
import { ACTOR_CLI } from './governance/entries.ts';
import { createKey } from './governance/keys.ts';
import { openPlatform } from './platform.ts';
import { createTenant } from './tenants.ts';
import { trainAdapter, type TrainEvents, type TrainOutcome } from './runs/train.ts';
import type { TrainOptions } from './runs/train-options.ts';

/** The base of the demonstration. */
export const START_BASE = 'smollm2-135m-instruct';

/** Settings of both adapters: small data, so a high rate and a few passes. */
const RECIPE = {
  method: 'lora',
  rank: 8,
  alpha: 16,
  dropout: 0,
  rslora: false,
  targets: 'attention',
  epochs: 1,
  batchTokens: 320,
  learningRate: 1e-3,
  schedule: 'cosine',
  warmup: 0.1,
  weightDecay: 0,
  seed: 0,
  evaluateEvery: 25,
  checkpointEvery: 20,
} as const satisfies Partial<TrainOptions>;

/** What a tenant of the demonstration got. */
export interface StartedTenant {
  readonly tenant: string;
  readonly task: string;
  readonly description: string;
  readonly metric: string;
  readonly heldOut: number;
  readonly baseScore: number;
  readonly adapterScore: number;
  readonly trainableShare: number;
  readonly adapterBytes: number;
  readonly adapter: string;
  /** An API key of the tenant, made now. */
  readonly key: string;
  readonly question: DemoTask['question'];
}

export interface StartEvents {
  onModelProgress?: ModelProgress;
  onTask?(task: DemoTask): void;
  trainEvents?(task: DemoTask): TrainEvents;
  onScoring?(task: DemoTask, who: 'base' | 'adapter', numDone: number, total: number): void;
  onTenant?(tenant: StartedTenant): void;
}

/**
 * The whole idea on real data: gets the base, trains an adapter for each of two tenants, scores base and adapter on held-out
 * examples, makes each tenant a key. What is left is to serve.
 */
export async function prepareStart(config: AppConfig, events: StartEvents = {}): Promise<StartedTenant[]> {
  const base = await resolveBase(config, START_BASE, events.onModelProgress);
  const tenants: StartedTenant[] = [];
  for (const task of await loadDemoTasks()) {
    events.onTask?.(task);
    const outcome = await trainTask(config, task, events);
    const model = openBase(
      base.open,
      loadNativeKernels(config.threads === undefined ? {} : { threads: config.threads }),
    );
    const renderer = openChatRenderer(base.open.path);
    const adapter = compileAdapter(readArtefact(outcome.output, model), model);
    const score = (who: 'base' | 'adapter'): number =>
      scoreTask(model, renderer, who === 'base' ? BASE_ADAPTER : adapter, task, (numDone, total) =>
        events.onScoring?.(task, who, numDone, total),
      );
    const started: StartedTenant = {
      tenant: task.tenant,
      task: task.task,
      description: task.description,
      metric: task.metric,
      heldOut: task.test.length,
      baseScore: score('base'),
      adapterScore: score('adapter'),
      trainableShare: outcome.trainableParameters / outcome.totalParameters,
      adapterBytes: outcome.adapterBytes,
      adapter: outcome.adapter ?? outcome.output,
      key: await makeKey(config, task.tenant),
      question: task.question,
    };
    events.onTenant?.(started);
    tenants.push(started);
  }
  return tenants;
}

async function trainTask(config: AppConfig, task: DemoTask, events: StartEvents): Promise<TrainOutcome> {
  const folder = join(config.home, 'start', task.tenant);
  mkdirSync(folder, { recursive: true });
  const write = (name: string, examples: readonly ChatExample[]): string => {
    const path = join(folder, `${name}.jsonl`);
    writeFileSync(path, examples.map((example) => `${JSON.stringify(example)}\n`).join(''));
    return path;
  };
  write('test', task.test);
  const options: TrainOptions = {
    ...RECIPE,
    base: START_BASE,
    data: write('train', task.train),
    valid: write('valid', task.valid),
    output: join(folder, 'adapter'),
    // One that was ended in the midst of a minute's run is not worth going on from.
    restart: true,
    publish: `${task.tenant}/${task.task}`,
  };
  return trainAdapter(config, options, events.trainEvents?.(task) ?? {});
}

function scoreTask(
  base: BaseModel,
  renderer: ChatRenderer,
  adapter: CompiledAdapter,
  task: DemoTask,
  onProgress: (numDone: number, total: number) => void,
): number {
  const questions = task.test.map(({ messages }) => ({
    messages: messages.slice(0, -1),
    expected: messages[messages.length - 1].content,
  }));
  // An answer that is longer than every expected one is wrong already: its end need not be seen.
  const lengths = questions.map(({ expected }) => renderer.tokenizer.encode(expected, { allowSpecial: false }).length);
  const maxTokens = Math.max(...lengths) + 1;
  return scoreQuestions(task.metric, base, renderer, adapter, questions, maxTokens, { onProgress });
}

async function makeKey(config: AppConfig, tenant: string): Promise<string> {
  await using platform = await openPlatform(config);
  try {
    createTenant(platform, ACTOR_CLI, tenant, {});
  } catch (error) {
    if (!(error instanceof EspalierError && error.code === 'TENANT_EXISTS')) throw error;
  }
  return createKey(platform, ACTOR_CLI, { tenant, role: 'reader', label: 'npm start' }).secret;
}
