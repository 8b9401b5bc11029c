import { Command } from 'commander';
import { serve, serverLog, type AppConfig, type Compute, type ServeOptions } from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { computeOption, draftTokens, portNumber, positiveInteger, weightsOption, wholeNumber } from '../options.ts';
import { Output, type OutputOptions } from '../output.ts';
import { untilSignal } from '../until-signal.ts';

interface ServeCommandOptions extends Omit<ServeOptions, 'jobs' | 'bases'>, OutputOptions {
  readonly base: string[];
  readonly jobs?: number | boolean | undefined;
  readonly compute?: Compute | undefined;
}

export function serveCommand(config: AppConfig): Command {
  return new Command('serve')
    .description('the HTTP server: each base once in memory, every published adapter, picked per request')
    .requiredOption(
      '--base <name>',
      'base model: a name, a folder or a .gguf file; again for each further one',
      (name: string, before: readonly string[] | undefined) => [...(before ?? []), name],
    )
    .option('--port <n>', 'port, 0 for a free one', portNumber, 8080)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--max-sequences <n>', 'sequences that are answered at once, by each base', positiveInteger)
    .option('--cache-tokens <n>', 'tokens that the cache of keys and values holds, of each base', positiveInteger)
    .option(
      '--speculate <n>',
      'next tokens guessed at a time from what was said before, or "off"; 4 unless told',
      draftTokens,
    )
    .option(
      '--adapter-bytes <n>',
      'memory for adapters that are ready; 1 GiB unless told; divided among the bases',
      positiveInteger,
    )
    .option('--host-bytes <n>', 'memory for the files of adapters; 1 GiB unless told; divided likewise', wholeNumber)
    .addOption(weightsOption())
    .addOption(computeOption())
    .option('--jobs <n>', 'training processes of fine-tuning jobs, at once; 1 unless told', positiveInteger)
    .option(
      '--jobs-together <n>',
      'supervised jobs of one base that share a training process, at most; 4 unless told; 1: each has its own',
      positiveInteger,
    )
    .option('--no-jobs', 'leave fine-tuning jobs to another process')
    .option('--json', 'print one JSON document when the server is ready')
    .addHelpText(
      'after',
      `
Example:
  espalier tenants create acme && espalier keys create acme
  espalier serve --base smollm2-135m-instruct --port 8080

Several bases share the cores (ESPALIER_THREADS, all unless told) evenly; each has an engine of its own, and an adapter is
answered by the base that it was made for.`,
    )
    .action(async ({ jobs, base, compute = config.compute, ...options }: ServeCommandOptions) => {
      const output = new Output(options);
      // The command line's parser gives true where neither option is there.
      const numJobs = jobs === false ? 0 : jobs === true ? undefined : jobs;
      const serving = { ...options, bases: base, jobs: numJobs };
      await using server = await serve({ ...config, compute }, serving, serverLog(), modelProgress(output));
      const { url, baseNames, instructionSet } = server;
      output.result(
        { url, base: baseNames[0], bases: baseNames, instructionSet },
        `${baseNames.join(', ')} on ${url} (${instructionSet}), the console in a browser too; ctrl-c ends it`,
      );
      await Promise.race([untilSignal(), server.failed]);
    });
}
