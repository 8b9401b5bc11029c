import { Command } from 'commander';
import {
  ACTOR_CLI,
  changeTenant,
  createTenant,
  eraseTenantCommand,
  openPlatform,
  removeTenant,
  storedUsage,
  type AppConfig,
  type Tenant,
  type TenantLimits,
} from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { positiveNumber, wholeNumber } from '../options.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';

const NONE = 'none';

type LimitOptions = Partial<Record<keyof TenantLimits, number | typeof NONE>>;

/** A number, or `none` for no limit: the parser of options takes a null for an option without a value. */
function orNone(parse: (text: string) => number): (text: string) => number | typeof NONE {
  return (text) => (text === NONE ? NONE : parse(text));
}

function limitsOf(options: LimitOptions): Partial<TenantLimits> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, value === NONE ? null : value]));
}

/** The options of every limit: what is absent stays as it is. */
function withLimits(command: Command): Command {
  const count = orNone(wholeNumber);
  return command
    .option('--weight <n>', 'its part of the service, relative to the others’; 1 unless told', orNone(positiveNumber))
    .option('--max-concurrent <n>', 'requests at once, those that wait included', count)
    .option('--requests-per-minute <n>', 'requests that are let in', count)
    .option('--tokens-per-minute <n>', 'tokens of prompts and answers', count)
    .option('--max-priority <n>', 'how urgent a request may ask to be: "priority" down to -n', count)
    .option('--max-adapters <n>', 'adapter versions in the registry', count)
    .option('--max-adapter-bytes <n>', 'bytes of their files', count);
}

function limitsText(tenant: Tenant): string {
  const rows = [
    ['weight', tenant.weight ?? 1],
    ['requests at once', tenant.maxConcurrent ?? 'default'],
    ['requests per minute', tenant.requestsPerMinute ?? NONE],
    ['tokens per minute', tenant.tokensPerMinute ?? NONE],
    ['most urgent priority', tenant.maxPriority === null ? NONE : -tenant.maxPriority || 0],
    ['adapter versions', tenant.maxAdapters ?? NONE],
    ['bytes of adapters', tenant.maxAdapterBytes ?? NONE],
  ];
  return table([[tenant.name, 'limit'], ...rows]);
}

export function tenantsCommand(config: AppConfig): Command {
  const create = withLimits(new Command('create').description('add a tenant'))
    .argument('<name>', 'lower-case letters, digits, ".", "_" and "-"')
    .option('--json', 'print one JSON document')
    .action(async (name: string, { json, ...limits }: LimitOptions & OutputOptions) => {
      await using platform = await openPlatform(config);
      const tenant = createTenant(platform, ACTOR_CLI, name, limitsOf(limits));
      new Output({ json }).result(tenant, `tenant ${tenant.name}: next, espalier keys create ${tenant.name}`);
    });
  const set = withLimits(
    new Command('set').description(
      'change limits; "none" takes one away; a running server obeys from the next request on',
    ),
  )
    .argument('<name>')
    .option('--json', 'print one JSON document')
    .action(async (name: string, { json, ...limits }: LimitOptions & OutputOptions) => {
      if (Object.keys(limits).length === 0) fail('USAGE_INVALID', 'name at least one limit: see --help');
      await using platform = await openPlatform(config);
      const tenant = changeTenant(platform, ACTOR_CLI, name, limitsOf(limits));
      new Output({ json }).result(tenant, limitsText(tenant));
    });
  const show = new Command('show')
    .description('the limits of a tenant, and what it has used')
    .argument('<name>')
    .option('--json', 'print one JSON document')
    .action(async (name: string, options: OutputOptions) => {
      await using platform = await openPlatform(config);
      const tenant = platform.tenants.get(name);
      const usage = storedUsage(platform, name);
      const used = table([
        ['used', ''],
        ['adapter versions', usage.adapters],
        ['bytes of adapters', usage.adapterBytes],
        ['requests today (UTC)', usage.requestsToday],
        ['prompt tokens today', usage.promptTokensToday],
        ['answer tokens today', usage.completionTokensToday],
      ]);
      new Output(options).result({ ...tenant, usage }, `${limitsText(tenant)}\n\n${used}`);
    });
  const list = new Command('list')
    .description('all tenants')
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      await using platform = await openPlatform(config);
      const tenants = platform.tenants.list();
      const rows = tenants.map(({ name, weight, maxConcurrent, requestsPerMinute, tokensPerMinute }) => [
        name,
        weight ?? 1,
        maxConcurrent ?? 'default',
        requestsPerMinute ?? NONE,
        tokensPerMinute ?? NONE,
      ]);
      const head = ['tenant', 'weight', 'requests at once', 'per minute', 'tokens per minute'];
      new Output(options).result(tenants, table([head, ...rows]));
    });
  const remove = new Command('remove')
    .description('remove a tenant that has no adapters, files or jobs, and its keys; erase removes those too')
    .argument('<name>')
    .option('--json', 'print one JSON document')
    .action(async (name: string, options: OutputOptions) => {
      await using platform = await openPlatform(config);
      removeTenant(platform, ACTOR_CLI, name);
      new Output(options).result({ removed: name }, `removed tenant ${name}`);
    });
  const erase = new Command('erase')
    .description('erase a tenant with all that it has: keys, adapters, files, jobs, checkpoints, caches')
    .argument('<name>')
    .option('--dry-run', 'say what would go', false)
    .option('--json', 'print one JSON document')
    .action(async (name: string, { dryRun, json }: { dryRun: boolean } & OutputOptions) => {
      const report = await eraseTenantCommand(config, ACTOR_CLI, name, dryRun);
      const rows = [
        [dryRun ? 'would go' : 'gone', ''],
        ['adapter versions', report.adapters],
        ['their files', formatBytes(report.adapterBytes)],
        ['uploaded files', report.files],
        ['their bytes', formatBytes(report.fileBytes)],
        ['jobs', report.jobs],
        ['their folders', formatBytes(report.jobBytes)],
        ['keys', report.keys],
        ['audit entries emptied', report.auditEntries],
        ['usage rows kept as sums', report.usageRows],
        ...(dryRun
          ? []
          : [
              ['stored contents removed', report.blobsRemoved],
              ['shared with others, kept', report.blobsShared],
            ]),
      ];
      new Output({ json }).result(report, table(rows));
    });
  return new Command('tenants')
    .description('who may use the server, and how much of it')
    .addCommand(create)
    .addCommand(set)
    .addCommand(show)
    .addCommand(list)
    .addCommand(remove)
    .addCommand(erase)
    .addHelpText(
      'after',
      '\nExamples:\n  espalier tenants create acme\n  espalier tenants set acme --weight 2 --tokens-per-minute 100000',
    );
}
