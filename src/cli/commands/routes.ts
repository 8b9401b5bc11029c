import { Command, InvalidArgumentError } from 'commander';
import { showRoutes, splitRoute, type AppConfig } from '../../app/index.ts';
import { canaryCommand, eventsCommand, gateCommand, shadowCommand } from './delivery.ts';
import { Output, table, type OutputOptions } from '../output.ts';

interface Part {
  readonly version: string;
  readonly weight: number;
}

export function routesCommand(config: AppConfig): Command {
  const list = json('list', 'who answers the tasks of a tenant')
    .argument('<tenant>')
    .action(async (tenant: string, options: OutputOptions) => {
      const routes = await showRoutes(config, tenant);
      const rows = routes.map(({ task, latest, split, gate, canary, shadow }) => {
        const parts = split.map(({ version, weight, reference }) => `${version}=${weight} (${reference ?? 'nobody'})`);
        return [
          task,
          latest ?? '-',
          parts.join(', ') || '-',
          gate?.metric ?? '-',
          canary ? `${canary.canary.version} (${canary.share})` : '-',
          shadow ? `${shadow.version} (${shadow.share})` : '-',
        ];
      });
      const text =
        rows.length === 0 ? 'none' : table([['task', 'latest', 'split', 'gate', 'canary', 'shadow'], ...rows]);
      new Output(options).result(routes, text);
    });
  const split = json('split', 'let parts of a task’s requests go to different versions, from the next request on')
    .argument('<name>', 'TENANT/TASK')
    .argument('<parts...>', 'VERSION=WEIGHT or ALIAS=WEIGHT, with spaces between', parsePart)
    .action(async (name: string, parts: readonly Part[], options: OutputOptions) => {
      const route = await splitRoute(config, name, parts);
      const told = route.split.map(({ reference, weight }) => `${reference} ${weight}`).join(', ');
      new Output(options).result(route, `${name}: ${told}`);
    });
  const clear = json('clear', 'let the alias latest answer all of a task’s requests')
    .argument('<name>', 'TENANT/TASK')
    .action(async (name: string, options: OutputOptions) => {
      const route = await splitRoute(config, name, []);
      new Output(options).result(route, `${name}: ${route.latest ?? 'nobody'}`);
    });
  const command = new Command('routes').description('which version answers a task');
  const delivery = [gateCommand(config), canaryCommand(config), shadowCommand(config), eventsCommand(config)];
  for (const child of [list, split, clear, ...delivery]) command.addCommand(child);
  return command.addHelpText(
    'after',
    `
A split counts for requests that name the task (metadata.task or X-Task). A session (X-Session-Id, else user, else the key) stays with one version.

Examples:
  espalier routes split acme/triage latest=90 7=10
  espalier routes clear acme/triage
  espalier routes gate acme/triage --data test.jsonl --metric accuracy --threshold 0.9 --no-worse-than 0.01
  espalier routes canary start acme/triage@7 --share 0.05 --steps 0.25,0.5 --promote
  espalier routes shadow start acme/triage@7 && espalier routes shadow report acme/triage`,
  );
}

/** commander hands over what was parsed before. */
function parsePart(text: string, before: readonly Part[] | undefined): Part[] {
  const [, version, weight] = /^([^=]+)=([0-9.]+)$/.exec(text) ?? [];
  if (version === undefined || !(Number(weight) > 0)) throw new InvalidArgumentError('expected VERSION=WEIGHT.');
  return [...(before ?? []), { version, weight: Number(weight) }];
}

function json(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document');
}
