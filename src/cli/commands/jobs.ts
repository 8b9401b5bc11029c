import { Command } from 'commander';
import {
  commandJob,
  JOB_COMMANDS,
  jobEvents,
  listJobs,
  showJob,
  type AppConfig,
  type Job,
  type JobCommand,
} from '../../app/index.ts';
import { positiveInteger } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

const DESCRIPTIONS: Readonly<Record<JobCommand, string>> = {
  cancel: 'give a job up',
  pause: 'stop a job at its next step, to go on later',
  resume: 'let a paused job go on',
};

export function jobsCommand(config: AppConfig): Command {
  const list = json('list', 'fine-tuning jobs, the latest first')
    .argument('[tenant]', 'only this tenant')
    .option('--limit <n>', 'at most so many', positiveInteger, 20)
    .action(async (tenant: string | undefined, options: { limit: number } & OutputOptions) => {
      const jobs = await listJobs(config, tenant, options.limit);
      const rows = jobs.map((job) => [job.id, job.tenant, job.status, job.modelName, timeOf(job.createdAt)]);
      const text =
        rows.length === 0
          ? 'none yet: POST /v1/fine_tuning/jobs creates one'
          : table([['job', 'tenant', 'status', 'model', 'created'], ...rows]);
      new Output(options).result(jobs, text);
    });
  const show = json('show', 'one job, with its settings and what came of it')
    .argument('<id>', 'ftjob-…')
    .action(async (id: string, options: OutputOptions) => {
      const job = await showJob(config, id);
      const text = table([
        ['job', job.id],
        ['tenant', job.tenant],
        ['status', job.status],
        ['base', `${job.base.name} (${job.base.digest})`],
        ['method', job.method],
        ['adapter', adapterOf(job.peft)],
        ['data', `${job.training.id}${job.validation ? `, held-out ${job.validation.id}` : ''}`],
        ['settings', JSON.stringify(job.resolved ?? job.hyperparameters)],
        ['created', timeOf(job.createdAt)],
        ['finished', timeOf(job.finishedAt)],
        ['expected', timeOf(job.estimatedFinish)],
        ['model', job.reference === null ? '-' : `${job.modelName} (${job.reference})`],
        ['trained tokens', String(job.trainedTokens ?? '-')],
        ['error', job.error?.message ?? '-'],
      ]);
      new Output(options).result(job, text);
    });
  const events = json('events', 'what has happened to a job, the latest first')
    .argument('<id>', 'ftjob-…')
    .option('--limit <n>', 'at most so many', positiveInteger, 20)
    .action(async (id: string, options: { limit: number } & OutputOptions) => {
      const found = await jobEvents(config, id, options.limit);
      const lines = found.map(({ createdAt, level, message }) => `${timeOf(createdAt)} ${level.padEnd(5)} ${message}`);
      new Output(options).result(found, lines.join('\n'));
    });
  const command = new Command('jobs').description('fine-tuning jobs');
  for (const child of [list, show, ...JOB_COMMANDS.map((name) => order(config, name)), events]) {
    command.addCommand(child);
  }
  return command.addHelpText(
    'after',
    '\nExamples:\n  espalier jobs list acme\n  espalier jobs events ftjob-…\n  espalier jobs pause ftjob-…',
  );
}

function order(config: AppConfig, name: JobCommand): Command {
  return json(name, DESCRIPTIONS[name])
    .argument('<id>', 'ftjob-…')
    .action(async (id: string, options: OutputOptions) => {
      const job = await commandJob(config, id, name);
      new Output(options).result(job, `${job.id} is ${job.status}`);
    });
}

function json(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document');
}

/** `dora of rank 4 on attention` */
function adapterOf({ method, rank, targets }: Job['peft']): string {
  return `${method}${rank === null ? '' : ` of rank ${rank}`}${targets === null ? '' : ` on ${targets}`}`;
}

function timeOf(epochMs: number | null): string {
  return epochMs === null ? '-' : new Date(epochMs).toISOString();
}
