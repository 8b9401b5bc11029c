import { Command } from 'commander';
import { openPlatform, type AppConfig } from '../../app/index.ts';
import { wholeNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

export function tenantsCommand(config: AppConfig): Command {
  const create = new Command('create')
    .description('add a tenant')
    .argument('<name>', 'lower-case letters, digits, ".", "_" and "-"')
    .option('--max-concurrent <n>', 'requests at once', wholeNumber)
    .option('--json', 'print one JSON document')
    .action(async (name: string, options: { maxConcurrent?: number } & OutputOptions) => {
      await using platform = await openPlatform(config);
      const tenant = platform.tenants.create(name, { maxConcurrent: options.maxConcurrent ?? null });
      new Output(options).result(tenant, `tenant ${tenant.name}: next, espalier keys create ${tenant.name}`);
    });
  const list = new Command('list')
    .description('all tenants')
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      await using platform = await openPlatform(config);
      const tenants = platform.tenants.list();
      const rows = tenants.map(({ name, maxConcurrent }) => [name, maxConcurrent ?? 'default']);
      new Output(options).result(tenants, table([['tenant', 'requests at once'], ...rows]));
    });
  const remove = new Command('remove')
    .description('remove a tenant and its keys; its adapters must be removed first')
    .argument('<name>')
    .option('--json', 'print one JSON document')
    .action(async (name: string, options: OutputOptions) => {
      await using platform = await openPlatform(config);
      platform.tenants.remove(name);
      new Output(options).result({ removed: name }, `removed tenant ${name}`);
    });
  return new Command('tenants')
    .description('who may use the server')
    .addCommand(create)
    .addCommand(list)
    .addCommand(remove)
    .addHelpText('after', '\nExample:\n  espalier tenants create acme');
}
