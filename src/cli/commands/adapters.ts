import { Command } from 'commander';
import {
  collectAdapters,
  EXPORT_FORMATS,
  exportAdapter,
  importAdapter,
  listAdapters,
  promoteAdapter,
  removeAdapter,
  rollbackAdapter,
  showAdapter,
  tagAdapter,
  verifyAdapters,
  type AdapterVersion,
  type AppConfig,
  type ExportFormat,
} from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { convertCommand, mergeCommand } from './combine-adapters.ts';
import { oneOf, positiveInteger } from '../options.ts';
import { retrainCommand } from './retrain.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';
import { Pace } from '../pace.ts';

interface ListOptions extends OutputOptions {
  readonly limit: number;
  readonly search?: string;
  readonly tag?: string;
}

export function adaptersCommand(config: AppConfig): Command {
  const list = json('list', 'published adapters')
    .argument('[tenant]', 'only this tenant')
    .option('--limit <n>', 'at most so many', positiveInteger, 100)
    .option('--search <text>', 'with this in the name of task, method or base')
    .option('--tag <tag>', 'with this tag')
    .action(async (tenant: string | undefined, options: ListOptions) => {
      const { limit, search, tag } = options;
      const versions = await listAdapters(config, tenant, { limit, text: search, tag });
      const rows = versions.map((version) => [
        nameOf(version),
        version.method,
        String(version.rank ?? '-'),
        formatBytes(version.sizeBytes),
        version.base.name,
        version.digest.slice(0, 19),
      ]);
      const text =
        rows.length === 0
          ? 'none yet: espalier train … --publish TENANT/TASK'
          : table([['adapter', 'method', 'rank', 'size', 'base', 'digest'], ...rows]);
      new Output(options).result(versions, text);
    });
  const show = json('show', 'one version, with where it came from and how it scored')
    .argument('<ref>', 'TENANT/TASK, TENANT/TASK@VERSION or sha256:…')
    .action(async (reference: string, options: OutputOptions) => {
      const shown = await showAdapter(config, reference);
      const { metrics, provenance, files: _files, base, classes, ...rest } = shown;
      const fields = { ...rest, ...classes, base: `${base.name} (${base.digest})`, ...metrics };
      const rows = Object.entries(fields).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(', ') : String(value),
      ]);
      new Output(options).result(shown, `${table(rows)}\nprovenance ${JSON.stringify(provenance, null, 2)}`);
    });
  const publish = (name: string, description: string): Command =>
    json(name, description)
      .argument('<dir>', 'a PEFT folder')
      .argument('<name>', 'TENANT/TASK')
      .requiredOption('--base <name>', 'the base that it was trained on')
      .action(async (directory: string, target: string, options: { base: string } & OutputOptions) => {
        const output = new Output(options);
        const { version, warning, isGated } = await importAdapter(
          config,
          directory,
          target,
          options.base,
          modelProgress(output),
        );
        if (warning) output.line(`warning: ${warning}`);
        const next = isGated ? `: its task has a gate, so espalier adapters promote ${nameOf(version)} is next` : '';
        output.result(version, `published ${nameOf(version)} (${version.digest})${next}`);
      });
  const exported = json(
    'export',
    'write a version out as a PEFT folder, a GGUF adapter for llama.cpp, or a folder for mlx-lm',
  )
    .argument('<ref>')
    .argument('<path>', 'a folder, or a file with --format gguf, that does not exist yet')
    .option('--format <name>', EXPORT_FORMATS.join(', '), oneOf(EXPORT_FORMATS), 'peft')
    .action(async (reference: string, path: string, options: { format: ExportFormat } & OutputOptions) => {
      const version = await exportAdapter(config, reference, path, options.format);
      new Output(options).result({ ...version, path }, `wrote ${nameOf(version)} to ${path}`);
    });
  const tag = json('tag', 'add tags to a version, to find it by')
    .argument('<ref>')
    .argument('<tags...>')
    .option('--remove', 'take them away instead', false)
    .action(async (reference: string, tags: string[], options: { remove: boolean } & OutputOptions) => {
      const change = options.remove ? { add: [], remove: tags } : { add: tags, remove: [] };
      const version = await tagAdapter(config, reference, change);
      new Output(options).result(version, `${nameOf(version)}: ${version.tags.join(' ') || 'no tags'}`);
    });
  const gc = json('gc', 'remove old versions that no alias, split, tag or fine-tuning job names')
    .argument('[tenant]', 'only this tenant')
    .requiredOption('--keep <n>', 'newest versions of each task that stay in any case', positiveInteger)
    .option('--dry-run', 'say what would go', false)
    .action(async (tenant: string | undefined, options: { keep: number; dryRun: boolean } & OutputOptions) => {
      const { keep, dryRun: isDryRun } = options;
      const report = await collectAdapters(config, { tenant, keep, isDryRun });
      const { removed, sizeBytes } = report;
      const what = `${removed.length} versions, ${formatBytes(sizeBytes)}`;
      const text = [...removed, isDryRun ? `would remove ${what}` : `removed ${what}`].join('\n');
      new Output(options).result(report, text);
    });
  const promote = json('promote', 'make an alias point at a version, if the gate of its task lets it')
    .argument('<ref>', 'TENANT/TASK@VERSION or sha256:…')
    .option('--alias <name>', 'which alias', 'latest')
    .option('--no-gate', 'do not ask the gate; this is recorded')
    .action(async (reference: string, options: { alias: string; gate: boolean } & OutputOptions) => {
      const output = new Output(options);
      const progress = output.progress('measuring');
      const pace = new Pace();
      const version = await promoteAdapter(
        config,
        reference,
        { alias: options.alias, isGated: options.gate },
        (numDone, total) => progress.update(numDone, total, pace.note(numDone, total, 'examples')),
      ).finally(() => progress.stop());
      output.result(version, `${options.alias} of ${version.tenant}/${version.task} is version ${version.version}`);
    });
  const rollback = json('rollback', 'make an alias point at what it pointed at before')
    .argument('<name>', 'TENANT/TASK')
    .option('--alias <name>', 'which alias', 'latest')
    .action(async (target: string, options: { alias: string } & OutputOptions) => {
      const version = await rollbackAdapter(config, target, options.alias);
      new Output(options).result(
        version,
        `${options.alias} of ${version.tenant}/${version.task} is version ${version.version}`,
      );
    });
  const remove = json('remove', 'remove a version')
    .argument('<ref>')
    .action(async (reference: string, options: OutputOptions) => {
      const version = await removeAdapter(config, reference);
      new Output(options).result(version, `removed ${nameOf(version)}`);
    });
  const verify = json('verify', 'read every published file and compare it with its digest').action(
    async (options: OutputOptions) => {
      const problems = await verifyAdapters(config);
      const lines = problems.map(({ where, message }) => `${where}: ${message}`);
      new Output(options).result({ problems }, lines.length === 0 ? 'all whole' : lines.join('\n'));
      if (problems.length > 0) process.exitCode = 1;
    },
  );
  const command = new Command('adapters').description('the registry of adapters');
  for (const child of [
    list,
    show,
    publish('publish', 'publish a PEFT folder'),
    publish('import', 'the same as publish, for adapters trained elsewhere'),
    exported,
    convertCommand(config),
    mergeCommand(config),
    retrainCommand(config),
    promote,
    rollback,
    tag,
    remove,
    gc,
    verify,
  ]) {
    command.addCommand(child);
  }
  return command.addHelpText(
    'after',
    `
Examples:
  espalier adapters publish ./my-adapter acme/triage --base smollm2-135m-instruct
  espalier adapters promote acme/triage@1
  espalier adapters retrain acme/triage --from-base smollm2-135m-instruct --to-base another --promote-if-better
  espalier adapters export acme/triage ./triage
  espalier adapters export acme/triage ./triage.gguf --format gguf
  espalier adapters export acme/triage ./triage-mlx --format mlx`,
  );
}

function json(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document');
}

function nameOf({ tenant, task, version }: AdapterVersion): string {
  return `${tenant}/${task}@${version}`;
}
