/**
 * A server under a mixed load of chats, publishes, promotions and fine-tuning jobs, whose processes are killed meanwhile. What every client was
 * told is remembered; `mixed-load-check.ts` compares it with what is there in the end.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { importModel, openPlatform, readConfig, type AdapterVersion, type AppConfig } from '../../src/app/index.ts';
import { Rng } from '../../src/base/index.ts';
import { childrenOf, onlyDocument, Program, startServe, type RunningServe, type TemporaryFolder } from './processes.ts';
import { writeRandomAdapter } from './tiny-adapters.ts';
import { tinySites, writeTinyBase } from './tiny-base.ts';
import { chatLines } from './tuning-data.ts';

export const TENANTS = ['acme', 'globex'] as const;
/** Nobody disturbs its jobs: what they come to is what the others' must come to. */
export const CALM = 'calm';
export const TASK = 'reply';
export const PROMOTED_ALIAS = 'stable';
const JOB_SEEDS = [1, 2, 3] as const;
/** Jobs of a tenant that are on at a time. */
const JOBS_AT_ONCE = 1;
const PROMPTS = ['hello', 'what is 3?', 'again'];
const PRELOAD = fileURLToPath(new URL('./kill-engine.ts', import.meta.url));

export const VICTIMS = ['server', 'server and trainers', 'trainer', 'engine', 'publisher'] as const;
export type Victim = (typeof VICTIMS)[number];

/** What a client asked, and whether it was told that it was done; else nobody knows. */
export interface Attempt<Answer> {
  readonly tenant: string;
  answer: Answer | undefined;
}
export interface PublishAttempt extends Attempt<AdapterVersion> {
  readonly seed: number;
}
export interface PromoteAttempt extends Attempt<true> {
  readonly version: number;
}
export interface JobAttempt extends Attempt<string> {
  /** In the job's metadata. */
  readonly number: number;
  readonly seed: number;
}

export class MixedLoad {
  readonly publishes: PublishAttempt[] = [];
  readonly promotions: PromoteAttempt[] = [];
  readonly jobs: JobAttempt[] = [];
  /** What broke a promise while the load ran. */
  readonly violations: string[] = [];
  readonly kills = new Map<Victim, number>();
  numAnswered = 0;
  numRefused = 0;
  /** Requests to the task with the canary that were sent at all. */
  numRouted = 0;
  readonly config: AppConfig;
  readonly home: string;
  readonly #folder: TemporaryFolder;
  readonly #rng: Rng;
  readonly #keys = new Map<string, string>();
  readonly #answers = new Map<string, string>();
  readonly #publishers = new Set<Program>();
  #server: RunningServe | undefined;
  #isStopping = false;
  #nextSeed = 100;

  constructor(folder: TemporaryFolder, seed: number) {
    this.#folder = folder;
    this.home = folder.join('home');
    this.config = readConfig({ ESPALIER_HOME: this.home, HF_HOME: folder.join('none'), ESPALIER_THREADS: '1' });
    this.#rng = Rng.fromSeed(seed, 'kills');
  }

  async prepare(): Promise<void> {
    writeTinyBase(this.#folder.join('tiny'));
    importModel(this.home, this.#folder.join('tiny'), 'tiny');
    {
      await using platform = await openPlatform(this.config);
      for (const tenant of [...TENANTS, CALM]) {
        platform.tenants.create(tenant);
        this.#keys.set(tenant, platform.keys.create({ tenant, role: 'writer' }).secret);
      }
    }
    // Two versions each, so that there is something to promote and to ask.
    for (const tenant of TENANTS) for (let n = 0; n < 2; n++) await this.#publish(tenant);
    await this.#start();
    for (const tenant of TENANTS) {
      const canary = { version: 2, share: 0.5, min_requests: 1_000_000 };
      await this.#post(tenant, `/api/routes/${TASK}/canary`, canary);
    }
  }

  /** Lets everybody work, and kills so many times. */
  async run(numKills: number, maxLifeMs: number, onKill?: (numDone: number) => void): Promise<void> {
    const supervisor = this.#supervise();
    const clients = TENANTS.flatMap((tenant) => [
      this.#repeat(() => this.#chat(tenant), 5),
      this.#repeat(() => this.#chat(tenant), 5),
      this.#repeat(() => this.#publish(tenant), 300),
      this.#repeat(() => this.#promote(tenant), 50),
      this.#repeat(() => this.#tune(tenant), 200),
    ]);
    for (let numDone = 0; numDone < numKills;) {
      // Some are killed while they start, most when they have come to work: also on a machine that is slow.
      if (this.#rng.nextFloat() < 0.8) await this.#hasAnswered();
      await sleep(this.#rng.nextFloat() * maxLifeMs);
      const victim = VICTIMS[Math.floor(this.#rng.nextFloat() * VICTIMS.length)];
      if (!(await this.#kill(victim))) continue;
      this.kills.set(victim, (this.kills.get(victim) ?? 0) + 1);
      numDone++;
      onKill?.(numDone);
    }
    this.#isStopping = true;
    await Promise.all(clients);
    await supervisor;
  }

  /** What a job that nobody disturbs comes to; and waits for all that are on. */
  async finish(outcomeOf: (client: OpenAI, id: string) => Promise<unknown>): Promise<Map<number, unknown>> {
    await this.#alive();
    const expected = new Map<number, unknown>();
    for (const seed of JOB_SEEDS) {
      const id = await this.#createJob(CALM, seed, -seed);
      expected.set(seed, await outcomeOf(this.clientOf(CALM), id));
    }
    return expected;
  }

  async close(): Promise<void> {
    this.#isStopping = true;
    for (const publisher of this.#publishers) publisher.killAll();
    await this.#server?.[Symbol.asyncDispose]();
  }

  /** Ends the server as an operator does. */
  async stopServer(): Promise<void> {
    this.#server?.program.kill('SIGTERM');
    await this.#server?.program.finished;
  }

  clientOf(tenant: string): OpenAI {
    return new OpenAI({ apiKey: this.#key(tenant), baseURL: `${this.#url}/v1`, maxRetries: 0 });
  }

  get #url(): string {
    assert.ok(this.#server, 'the server was started');
    return this.#server.url;
  }

  #key(tenant: string): string {
    return this.#keys.get(tenant) ?? assert.fail(tenant);
  }

  async #start(): Promise<void> {
    const env = { NODE_OPTIONS: `--import=${PRELOAD}` };
    this.#server = await startServe(['--base', 'tiny', '--jobs', '2'], { home: this.home, env });
  }

  /** As the system's service manager does: whatever ends the server, it is started again. */
  async #supervise(): Promise<void> {
    while (!this.#isStopping) {
      const server = this.#server;
      assert.ok(server);
      await Promise.race([server.program.finished, this.#until(() => this.#isStopping)]);
      if (this.#isStopping) return;
      const { stderr } = await server.program.finished;
      // The engine may die four times in ten minutes before the server gives up: that is how it should end then.
      if (/INTERNAL|invariant/.test(stderr)) this.violations.push(`the server: ${stderr.slice(-500)}`);
      await this.#start();
    }
  }

  async #alive(): Promise<void> {
    for (;;) {
      try {
        if ((await fetch(`${this.#url}/readyz`)).status === 200) return;
      } catch {
        if (this.#server?.program.hasEnded) await this.#start();
      }
      await sleep(50);
    }
  }

  /** Waits for a few answers, from now on. */
  async #hasAnswered(): Promise<void> {
    const enough = this.numAnswered + 5;
    await this.#until(() => this.numAnswered >= enough);
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await sleep(50);
  }

  async #repeat(work: () => Promise<void>, pauseMs: number): Promise<void> {
    while (!this.#isStopping) {
      await work();
      await sleep(pauseMs);
    }
  }

  /** @returns false: there was none to be killed */
  async #kill(victim: Victim): Promise<boolean> {
    const program = this.#server?.program;
    if (!program || program.hasEnded) return false;
    switch (victim) {
      case 'server':
        program.kill();
        await program.finished;
        return true;
      case 'server and trainers':
        program.killAll();
        await program.finished;
        return true;
      case 'trainer': {
        const children = childrenOf(program.pid);
        for (const pid of children) killIfThere(pid);
        return children.length > 0;
      }
      case 'engine':
        program.kill('SIGUSR2');
        return true;
      case 'publisher': {
        const [publisher] = this.#publishers;
        publisher?.killAll();
        return publisher !== undefined;
      }
      default:
        return victim satisfies never;
    }
  }

  async #publish(tenant: string): Promise<void> {
    const seed = this.#nextSeed++;
    const directory = this.#folder.join(`adapter-${seed}`);
    writeRandomAdapter(directory, tinySites(), { seed, rank: 2, targets: ['q_proj', 'v_proj'] });
    const attempt: PublishAttempt = { tenant, seed, answer: undefined };
    this.publishes.push(attempt);
    const args = ['adapters', 'publish', directory, `${tenant}/${TASK}`, '--base', 'tiny', '--json'];
    const program = new Program(args, { home: this.home });
    this.#publishers.add(program);
    const { code, signal, stdout, stderr } = await program.finished;
    this.#publishers.delete(program);
    if (code === 0) attempt.answer = onlyDocument<AdapterVersion>(stdout);
    else if (signal === null) this.violations.push(`a publish failed: ${stdout}${stderr}`);
  }

  async #promote(tenant: string): Promise<void> {
    const known = this.publishes.filter((one) => one.tenant === tenant && one.answer);
    const version = known[Math.floor(this.#rng.nextFloat() * known.length)].answer?.version ?? 1;
    const attempt: PromoteAttempt = { tenant, version, answer: undefined };
    this.promotions.push(attempt);
    const done = await this.#post(tenant, `/api/routes/${TASK}/promote`, { version, alias: PROMOTED_ALIAS });
    if (done) attempt.answer = true;
  }

  async #tune(tenant: string): Promise<void> {
    const mine = this.jobs.filter((job) => job.tenant === tenant);
    try {
      const client = this.clientOf(tenant);
      const jobs = (await client.fineTuning.jobs.list({ limit: 100 })).data;
      if (jobs.filter((job) => job.finished_at === null).length >= JOBS_AT_ONCE) return;
    } catch (error) {
      this.#excuse(error);
      return;
    }
    const seed = JOB_SEEDS[mine.length % JOB_SEEDS.length];
    const attempt: JobAttempt = { tenant, seed, number: this.jobs.length, answer: undefined };
    this.jobs.push(attempt);
    try {
      attempt.answer = await this.#createJob(tenant, seed, attempt.number);
    } catch (error) {
      this.#excuse(error);
    }
  }

  async #createJob(tenant: string, seed: number, number: number): Promise<string> {
    const client = this.clientOf(tenant);
    const upload = async (text: string): Promise<string> =>
      (await client.files.create({ file: await toFile(Buffer.from(text), 'x.jsonl'), purpose: 'fine-tune' })).id;
    const { id } = await client.fineTuning.jobs.create({
      model: 'tiny',
      training_file: await upload(chatLines(24)),
      suffix: 'tuned',
      seed,
      metadata: { number: String(number) },
      method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2, batch_size: 1 } } },
    });
    return id;
  }

  /** By a reference, or by the task, which has a canary: equal prompts to equal adapters have equal answers, whoever died in between. */
  async #chat(tenant: string): Promise<void> {
    const prompt = PROMPTS[Math.floor(this.#rng.nextFloat() * PROMPTS.length)];
    const isRouted = this.#rng.nextFloat() < 0.5;
    if (isRouted) this.numRouted++;
    const body = {
      ...(isRouted ? { model: 'tiny', metadata: { task: TASK } } : { model: `${tenant}/${TASK}` }),
      user: `user-${Math.floor(this.#rng.nextFloat() * 10)}`,
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_completion_tokens: 6,
    };
    const answer = await this.#post<OpenAI.ChatCompletion>(tenant, '/v1/chat/completions', body);
    if (!answer) {
      this.numRefused++;
      return;
    }
    this.numAnswered++;
    const text = answer.choices[0].message.content ?? '';
    const key = `${answer.system_fingerprint} ${prompt}`;
    const before = this.#answers.get(key) ?? text;
    this.#answers.set(key, before);
    if (before !== text)
      this.violations.push(`${answer.model} answered ${JSON.stringify(before)}, then ${JSON.stringify(text)}`);
    if (!answer.model.startsWith(`${tenant}/`)) this.violations.push(`${tenant} was answered by ${answer.model}`);
  }

  /** @returns undefined: the server was gone, or said that it cannot now */
  async #post<Body>(tenant: string, path: string, body: object): Promise<Body | undefined> {
    try {
      const response = await fetch(`${this.#url}${path}`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${this.#key(tenant)}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (response.ok) return (await response.json()) as Body;
      this.#excuseStatus(response.status, await response.text());
    } catch (error) {
      this.#excuse(error);
    }
    return undefined;
  }

  /** A connection that breaks off, or an engine that is being started: nothing else is a reason. */
  #excuse(error: unknown): void {
    if (error instanceof OpenAI.APIConnectionError || error instanceof TypeError) return;
    if (error instanceof OpenAI.APIError && error.status !== undefined) this.#excuseStatus(error.status, error.message);
    else if (error instanceof Error && /terminated|other side closed|ECONN|aborted/i.test(error.message)) return;
    else throw error;
  }

  #excuseStatus(status: number, text: string): void {
    if (status !== 503) this.violations.push(`${status}: ${text}`);
  }
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
