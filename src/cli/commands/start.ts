import { Command } from 'commander';
import {
  prepareStart,
  serve,
  serverLog,
  START_BASE,
  type AppConfig,
  type Serving,
  type StartedTenant,
} from '../../app/index.ts';
import { EspalierError, fail, type Log } from '../../base/index.ts';
import { modelProgress } from '../model-progress.ts';
import { portNumber } from '../options.ts';
import { formatBytes, formatSeconds, Output, table, type Progress } from '../output.ts';
import { untilSignal } from '../until-signal.ts';

const DEFAULT_PORT = 8080;

export function startCommand(config: AppConfig): Command {
  return new Command('start')
    .description('the whole idea on real data: trains adapters for two tenants, scores them, serves both from one base')
    .option('--once', 'ask each tenant one question over HTTP, print a JSON summary as the last line, end', false)
    .option('--port <n>', 'port of the server, 0 for a free one', portNumber)
    .action(async ({ once, port }: { once: boolean; port?: number }) => {
      const output = new Output({});
      const tenants = await prepare(config, output);
      output.line(`\n${scoreTable(tenants)}\n`);
      const log = serverLog(once ? 'warn' : 'info');
      await using server = await serveAt(config, port ?? (once ? 0 : DEFAULT_PORT), port === undefined, log);
      output.line(`one base in memory, both tenants answered by ${server.url}\n`);
      for (const tenant of tenants) output.line(`${curlOf(server, tenant)}\n`);
      if (!once) {
        output.line(`${server.url} is the console: sign in with a key from above; ctrl-c ends the server`);
        await untilSignal();
        return;
      }
      output.line(JSON.stringify(await askOnce(server, tenants)));
    });
}

/** After minutes of training, a port that somebody else has must not be the end: another one is taken unless it was asked for by number. */
async function serveAt(config: AppConfig, port: number, mayMove: boolean, log: Log): Promise<Serving> {
  const options = { bases: [START_BASE], host: '127.0.0.1', port };
  try {
    return await serve(config, options, log);
  } catch (error) {
    const isTaken = error instanceof EspalierError && error.code === 'CONFIG_INVALID' && error.param === 'port';
    if (!isTaken || !mayMove) throw error;
    return serve(config, { ...options, port: 0 }, log);
  }
}

async function prepare(config: AppConfig, output: Output): Promise<StartedTenant[]> {
  let bar: Progress | undefined;
  const show = (label: string): Progress => {
    bar?.stop();
    return (bar = output.progress(label));
  };
  let scoring = '';
  const tenants = await prepareStart(config, {
    onModelProgress: modelProgress(output),
    onTask({ tenant, task, description, source, train, test }) {
      output.line(`\n${tenant}/${task}: ${description}`);
      output.line(
        `  ${train.length} training and ${test.length} held-out examples from ${source.package} ${source.version} (${source.licence})`,
      );
    },
    trainEvents: () => {
      const progress = show('  training');
      return {
        onStarted: ({ trainableParameters, totalParameters, trainTokens }) =>
          output.line(
            `  ${trainTokens} tokens; ${trainableParameters} of ${totalParameters} parameters are trained (${((100 * trainableParameters) / totalParameters).toFixed(2)} %)`,
          ),
        onStep: ({ report, tokensPerSecond, secondsLeft }) =>
          progress.update(
            report.step,
            report.totalSteps,
            `loss ${report.loss.toFixed(3)}, ${Math.round(tokensPerSecond)} tokens/s, ${formatSeconds(secondsLeft)} left`,
          ),
      };
    },
    onScoring(_task, who, numDone, total) {
      if (scoring !== who) show(`  scoring the ${who}`);
      scoring = who;
      bar?.update(numDone, total, 'held-out examples');
    },
    onTenant: () => bar?.stop(),
  });
  return tenants;
}

function scoreTable(tenants: readonly StartedTenant[]): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const rows = tenants.map((t) => [
    t.adapter,
    `${t.metric} on ${t.heldOut}`,
    percent(t.baseScore),
    percent(t.adapterScore),
    `${(100 * t.trainableShare).toFixed(2)} %`,
    formatBytes(t.adapterBytes),
  ]);
  return table([['adapter', 'held out', 'base', 'adapter', 'trained', 'size'], ...rows]);
}

function requestOf({ task, question }: StartedTenant): string {
  return JSON.stringify({ model: START_BASE, metadata: { task }, messages: question, temperature: 0, max_tokens: 48 });
}

function curlOf({ url }: Serving, tenant: StartedTenant): string {
  const body = requestOf(tenant).replaceAll("'", String.raw`'\''`);
  return `curl -s ${url}/v1/chat/completions -H 'Authorization: Bearer ${tenant.key}' -H 'Content-Type: application/json' -d '${body}'`;
}

interface Completion {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

async function askOnce({ url, baseNames }: Serving, tenants: readonly StartedTenant[]) {
  const answered = await Promise.all(
    tenants.map(async (tenant) => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${tenant.key}`, 'Content-Type': 'application/json' },
        body: requestOf(tenant),
      });
      if (!response.ok) fail('INTERNAL', `the server answered ${response.status}: ${await response.text()}`);
      const { choices } = (await response.json()) as Completion;
      const { key: _key, question: _question, ...rest } = tenant;
      return { ...rest, answer: choices[0].message.content };
    }),
  );
  return { base: baseNames[0], tenants: answered };
}
