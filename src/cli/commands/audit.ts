import { Command, InvalidArgumentError } from 'commander';
import { listAudit, verifyAudit, type AppConfig, type AuditHead } from '../../app/index.ts';
import { positiveInteger } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

interface ListOptions extends OutputOptions {
  readonly limit: number;
  readonly after?: number;
}

export function auditCommand(config: AppConfig): Command {
  const list = new Command('list')
    .description('who changed what, the latest first')
    .argument('[tenant]', 'only what concerns this tenant')
    .option('--limit <n>', 'at most so many', positiveInteger, 50)
    .option('--after <seq>', 'continue behind this entry', positiveInteger)
    .option('--json', 'print one JSON document')
    .action(async (tenant: string | undefined, { limit, after, ...options }: ListOptions) => {
      const entries = await listAudit(config, { tenant, limit, after });
      const rows = entries.map((entry) => [
        entry.seq,
        new Date(entry.at).toISOString(),
        entry.actor ?? '(erased)',
        entry.action,
        entry.target ?? '(erased)',
        entry.detail === null ? '' : JSON.stringify(entry.detail),
      ]);
      const text =
        rows.length === 0 ? 'none' : table([['entry', 'time', 'actor', 'action', 'target', 'detail'], ...rows]);
      new Output(options).result(entries, text);
    });
  const verify = new Command('verify')
    .description('compute every hash of the log anew')
    .option(
      '--known <seq:hash>',
      'an earlier end of the log, kept elsewhere: shows that nothing up to it is gone',
      headOf,
    )
    .option('--json', 'print one JSON document')
    .action(async ({ known, ...options }: { known?: AuditHead } & OutputOptions) => {
      const verdict = await verifyAudit(config, known);
      const { numEntries, numErased, head, problems } = verdict;
      const count = `${numEntries} entries, ${numErased} of them erased with their tenant`;
      const lines = problems.map(({ where, message }) => `${where} ${message}`);
      const text = head ? `${count}; the end is ${head.seq}:${head.hash}` : count;
      new Output(options).result(verdict, [...lines, lines.length === 0 ? `whole: ${text}` : text].join('\n'));
      if (lines.length > 0) process.exitCode = 1;
    });
  return new Command('audit')
    .description('the log of all changes')
    .addCommand(list)
    .addCommand(verify)
    .addHelpText(
      'after',
      `
An entry's hash is over the entry before it: a change in the midst of the log is found by verify. Keep the end of the log that verify
prints in another place, and give it to --known later: so it is found as well if the last entries are gone.

Examples:
  espalier audit list acme
  espalier audit verify`,
    );
}

function headOf(text: string): AuditHead {
  const [, seq, hash] = /^(\d+):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined)
    throw new InvalidArgumentError('expected SEQ:HASH, as verify prints it.');
  return { seq: Number(seq), hash };
}
