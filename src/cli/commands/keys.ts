import { Command } from 'commander';
import { ACTOR_CLI, createKey, openPlatform, revokeKey, ROLES, type AppConfig, type Role } from '../../app/index.ts';
import { fail, systemClock } from '../../base/index.ts';
import { oneOf, positiveNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

const DAY_MS = 24 * 3600 * 1000;

export function keysCommand(config: AppConfig): Command {
  const create = new Command('create')
    .description('make an API key; it is shown once and kept only as a hash')
    .argument('[tenant]', 'whose key; none with --operator')
    .option('--operator', 'a key that may act for every tenant', false)
    .option('--role <role>', ROLES.join(', '), oneOf(ROLES), 'reader')
    .option('--label <text>', 'what it is for', '')
    .option('--project <name>', 'requests with the key are counted to this project of the tenant')
    .option('--expires-days <n>', 'days until it expires; never without it', positiveNumber)
    .option('--json', 'print one JSON document')
    .action(
      async (
        tenant: string | undefined,
        options: {
          operator: boolean;
          role: Role;
          label: string;
          project?: string;
          expiresDays?: number;
        } & OutputOptions,
      ) => {
        if (options.operator === (tenant !== undefined)) {
          fail(
            'USAGE_INVALID',
            'give the tenant whose key it is, or --operator for a key that may act for every tenant',
          );
        }
        await using platform = await openPlatform(config);
        const expiresAt =
          options.expiresDays === undefined ? null : systemClock.epochMs() + options.expiresDays * DAY_MS;
        const { secret, key } = createKey(platform, ACTOR_CLI, {
          tenant: tenant ?? null,
          role: options.operator ? 'admin' : options.role,
          label: options.label,
          project: options.project ?? null,
          expiresAt,
        });
        new Output(options).result({ ...key, secret }, `${secret}\n(shown once; role ${key.role}, id ${key.keyId})`);
      },
    );
  const list = new Command('list')
    .description('keys, without their secrets')
    .argument('[tenant]')
    .option('--json', 'print one JSON document')
    .action(async (tenant: string | undefined, options: OutputOptions) => {
      await using platform = await openPlatform(config);
      const keys = platform.keys.list(tenant);
      const rows = keys.map((key) => [
        key.keyId,
        key.tenant ?? '(operator)',
        key.role,
        `${key.hint}…`,
        key.label,
        key.project ?? '',
        key.revokedAt !== null
          ? 'revoked'
          : key.expiresAt !== null
            ? `expires ${new Date(key.expiresAt).toISOString()}`
            : 'valid',
      ]);
      new Output(options).result(keys, table([['id', 'tenant', 'role', 'key', 'label', 'project', 'state'], ...rows]));
    });
  const revoke = new Command('revoke')
    .description('make a key useless, at once')
    .argument('<id>')
    .option('--json', 'print one JSON document')
    .action(async (id: string, options: OutputOptions) => {
      await using platform = await openPlatform(config);
      const key = revokeKey(platform, ACTOR_CLI, id);
      new Output(options).result(key, `revoked ${key.keyId}`);
    });
  return new Command('keys')
    .description('API keys')
    .addCommand(create)
    .addCommand(list)
    .addCommand(revoke)
    .addHelpText(
      'after',
      '\nExamples:\n  espalier keys create acme --role reader --label ci\n  espalier keys create --operator',
    );
}
