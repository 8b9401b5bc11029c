/** Greedy answers of random LoRAs on a real base, from our engine: what another program that opens the same adapters is compared with. */
import { join } from 'node:path';
import { BASE_ADAPTER, compileAdapter, readArtefact, writeArtefact, type Adapter } from '../../src/adapters/index.ts';
import { readConfig, resolveBase } from '../../src/app/index.ts';
import type { LoraConfig } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import { GREEDY } from '../../src/serving/request.ts';
import { openChatRenderer } from '../../src/text/index.ts';
import { randomAdapter } from '../support/tiny-adapters.ts';

export const BASE = 'smollm2-135m-instruct';
/** Of an answer. One answer of five may part at a near tie. */
export const TOKENS = 16;
const QUESTIONS = [
  'What is the capital of France?',
  'Write one sentence about the sea.',
  'Name three colours.',
  'Is seven an even number?',
  'Translate "good morning" to Spanish.',
];
/** Small against the base, so that the answers stay language: a tie of noise would agree by chance. */
const CHANGE = 0.05;

/** A LoRA of random numbers. */
export interface GreedyCase {
  readonly name: string;
  readonly rank: number;
  readonly targets: readonly string[] | 'all-linear';
  readonly more?: Partial<LoraConfig>;
}

export const ATTENTION: GreedyCase = { name: 'attention', rank: 8, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] };
export const ALL_LINEAR: GreedyCase = { name: 'all-linear', rank: 4, targets: 'all-linear' };
export const RSLORA: GreedyCase = {
  name: 'rslora',
  rank: 8,
  targets: ['q_proj', 'v_proj'],
  more: { use_rslora: true },
};
export const ALPHA_PATTERN: GreedyCase = {
  name: 'alpha-pattern',
  rank: 4,
  targets: ['q_proj', 'down_proj'],
  more: { alpha_pattern: { q_proj: 2 } },
};

type Answers = readonly (readonly number[])[];

/** What the other program says: the answers to all prompts, and its release. */
export interface PeerAnswers {
  readonly answers: Answers;
  readonly version: string;
}

/** Our side: the base in float32, the prompts, and what an adapter answers to them. */
export class GreedyAnswers {
  readonly base: BaseModel;
  readonly path: string;
  readonly prompts: readonly (readonly number[])[];

  private constructor(base: BaseModel, path: string) {
    this.base = base;
    this.path = path;
    const renderer = openChatRenderer(path);
    this.prompts = QUESTIONS.map((content) => [...renderer.renderPrompt([{ role: 'user', content }])]);
  }

  static async open(): Promise<GreedyAnswers> {
    const { open } = await resolveBase(readConfig(), BASE, () => {});
    return new GreedyAnswers(loadBase(open.path, BASE, loadNativeKernels({ threads: 1 }), 'f32'), open.path);
  }

  get numTokens(): number {
    return TOKENS * this.prompts.length;
  }

  /** Writes the case's adapter as a PEFT folder inside `scratch`. */
  write(scratch: string, { name, rank, targets, more }: GreedyCase): { folder: string; adapter: Adapter } {
    const { config: plain, tensors } = randomAdapter(this.base.sites, { seed: 5, rank, targets });
    for (const { data } of tensors.values()) for (let i = 0; i < data.length; i++) data[i] *= CHANGE / 0.2;
    const folder = join(scratch, name);
    writeArtefact(folder, { config: { ...(plain as LoraConfig), ...more }, tensors }, this.base.digest);
    return { folder, adapter: readArtefact(folder, this.base) };
  }

  /** Without an adapter, the base's. */
  of(adapter?: Adapter): number[][] {
    const { prompts, base } = this;
    const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences: prompts.length });
    const compiled = adapter ? compileAdapter(adapter, base) : BASE_ADAPTER;
    for (const [index, prompt] of prompts.entries()) {
      const promptTokenIds = Int32Array.from(prompt);
      const request = { id: String(index), promptTokenIds, adapter: null, maxTokens: TOKENS, stopTokenIds: [] };
      engine.submit({ ...request, sampling: GREEDY }, compiled);
    }
    const answers = prompts.map((): number[] => []);
    while (engine.hasWork) for (const { id, tokenIds } of engine.step().events) answers[Number(id)].push(...tokenIds);
    return answers;
  }

  /** Prints whether the other program's answers are ours, and not the base's. @returns false if not */
  judge(name: string, ours: Answers, theirs: Answers, ofBase: Answers): boolean {
    const [same, likeBase] = [agreement(ours, theirs), agreement(ours, ofBase)];
    const isGood = same >= this.numTokens - TOKENS && likeBase < this.numTokens / 2;
    const verdict = isGood ? 'ok  ' : 'FAIL';
    console.log(`${verdict} ${name}: ${same} of ${this.numTokens} (with our base's own: ${likeBase})`);
    return isGood;
  }
}

/** Tokens before the first that differs, over all answers: what follows it has another prompt. */
export function agreement(a: Answers, b: Answers): number {
  let same = 0;
  for (const [index, answer] of a.entries()) {
    const differs = answer.findIndex((token, n) => token !== b[index][n]);
    same += differs < 0 ? answer.length : differs;
  }
  return same;
}
