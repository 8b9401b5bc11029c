import { EspalierError, remoteError, type Clock } from '../base/index.ts';
import { openBase } from '../model/index.ts';
import { BufferPool, loadNativeKernels } from '../numeric/index.ts';
import { openChatRenderer } from '../text/index.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { GroupInbox } from './group-inbox.ts';
import { TrainingGroup, type GroupEvent } from './group.ts';
import { JoiningRuns, type ReadRun } from './joining-runs.ts';
import { dataRequestOf, leaveEnd, leaveStep, prepareRun, type PreparedRun } from './job.ts';
import { openTeacher } from './teacher.ts';
import type { FromGroup, FromTrainer, GroupJob, TrainJob } from './messages.ts';

interface LiveRun {
  readonly job: TrainJob;
  readonly prepared: PreparedRun;
  readonly startedMs: number;
  readonly start: { readonly step: number; readonly tokens: number };
}

/**
 * Trains the runs that come in over one base until it is told that no more will. What goes wrong with a run is said of that run, and
 * the others go on, also while the data of one that joins is read; checkpoints and adapters are those of `runJob`.
 */
export async function runGroup(
  { base: open, threads, maxTokens }: GroupJob,
  inbox: GroupInbox,
  clock: Clock,
  send: (message: FromGroup) => void,
): Promise<void> {
  const kernels = loadNativeKernels(threads === undefined ? {} : { threads });
  const base = openBase(open, kernels);
  const renderer = openChatRenderer(open.path);
  const pool = new BufferPool();
  const group = new TrainingGroup(base, pool, maxTokens);
  const joining = new JoiningRuns((read) => inbox.put({ type: 'read', ...read }));
  const runs = new Map<string, LiveRun>();
  const say = (id: string, message: FromTrainer): void => send({ type: 'run', id, message });
  const drop = (id: string, error: unknown): void => {
    group.remove(id);
    runs.delete(id);
    joining.delete(id);
    say(id, { type: 'failed', error: remoteError(error) });
  };
  const attempt = (id: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      drop(id, error);
    }
  };

  const read = (id: string, job: TrainJob): void => {
    const teacher = job.teacher && openTeacher(job.teacher, { open, base, tokenizer: renderer.tokenizer }, kernels);
    joining.begin({ id, job, teacher }, dataRequestOf(job, base, teacher));
  };
  const add = ({ run, data }: ReadRun): void => {
    const { id, job, teacher } = run;
    // It was given up meanwhile.
    if (!joining.end(run)) return;
    const prepared = prepareRun(job, base, renderer, data(), pool, teacher);
    const { step, trainedTokens: tokens } = prepared.run.state;
    runs.set(id, { job, prepared, startedMs: clock.nowMs(), start: { step, tokens } });
    group.add(id, prepared.run);
    say(id, { type: 'started', started: prepared.started });
    if (run.mustStop) leave(id, 'stop');
  };
  const cancelled = (rest = ''): EspalierError => new EspalierError('CANCELLED', `the run was cancelled${rest}`);
  const leave = (id: string, how: 'stop' | 'cancel' | 'drop'): void => {
    if (how === 'stop') joining.stop(id);
    else if (joining.has(id)) drop(id, cancelled());
    const live = runs.get(id);
    // It has ended by itself meanwhile.
    if (!live) return;
    const { run, checkpointPath, identity } = live.prepared;
    // Whoever drops a run may have given it to somebody else: nothing of it is written any more.
    if (how !== 'drop') saveCheckpoint(checkpointPath, run, identity);
    if (how !== 'stop') {
      drop(id, cancelled(how === 'cancel' ? ': resume it from the checkpoint in its output folder' : ''));
      return;
    }
    group.remove(id);
    runs.delete(id);
    say(id, { type: 'stopped', step: run.state.step });
  };
  const follow = (event: GroupEvent): void => {
    const live = runs.get(event.id);
    if (!live) return;
    const { job, prepared, startedMs, start } = live;
    const { run } = prepared;
    const tell = (message: FromTrainer): void => say(event.id, message);
    const seconds = (clock.nowMs() - startedMs) / 1000;
    const tokensHere = run.state.trainedTokens - start.tokens;
    switch (event.type) {
      case 'failed':
        drop(event.id, event.error);
        return;
      case 'step': {
        const { report } = event;
        const secondsLeft = ((run.totalSteps - report.step) * seconds) / (report.step - start.step);
        tell({ type: 'step', report, tokensPerSecond: tokensHere / seconds, secondsLeft });
        leaveStep(job, base, prepared, report, tell);
        return;
      }
      case 'finished':
        runs.delete(event.id);
        leaveEnd(job, base, prepared, { seconds, tokensHere }, tell);
        return;
      default:
        event satisfies never;
    }
  };

  for (let isOpen = true; isOpen || joining.size > 0 || group.size > 0;) {
    if (group.size === 0) await inbox.wait();
    for (const message of inbox.take()) {
      if (message.type === 'end') isOpen = false;
      else if (message.type === 'add') attempt(message.id, () => read(message.id, message.job));
      else if (message.type === 'read') attempt(message.run.id, () => add(message));
      else attempt(message.id, () => leave(message.id, message.type));
    }
    for (const event of group.size > 0 ? group.pass() : []) attempt(event.id, () => follow(event));
    // Lets messages and the parent's end be noticed.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
