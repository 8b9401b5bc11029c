import { Command } from 'commander';
import { readConfig, VERSION } from '../app/index.ts';
import { adaptersCommand } from './commands/adapters.ts';
import { auditCommand } from './commands/audit.ts';
import { benchCommand } from './commands/bench.ts';
import { dataCommand } from './commands/data.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { generateCommand } from './commands/generate.ts';
import { homeCommand } from './commands/home.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { modelsCommand } from './commands/models.ts';
import { planCommand } from './commands/plan.ts';
import { routesCommand } from './commands/routes.ts';
import { serveCommand } from './commands/serve.ts';
import { startCommand } from './commands/start.ts';
import { sweepCommand } from './commands/sweep.ts';
import { tenantsCommand } from './commands/tenants.ts';
import { trainCommand } from './commands/train.ts';
import { usageCommand } from './commands/usage.ts';

/** The whole command line. Every command reads the environment through one config and throws; main.ts reports. */
export function makeProgram(): Command {
  const program = new Command('espalier')
    .description('Train, keep, serve and plan thousands of small adapters on one frozen language model')
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('(espalier --help lists the commands)');
  const config = readConfig();
  const commands = [
    startCommand,
    modelsCommand,
    planCommand,
    dataCommand,
    trainCommand,
    sweepCommand,
    evaluateCommand,
    generateCommand,
    adaptersCommand,
    routesCommand,
    tenantsCommand,
    keysCommand,
    usageCommand,
    auditCommand,
    homeCommand,
    jobsCommand,
    serveCommand,
    benchCommand,
  ];
  for (const make of commands) program.addCommand(inherit(make(config)));
  return program;
}

/** Sub-commands do not inherit exitOverride by themselves when they are added ready-made. */
function inherit(command: Command): Command {
  command.exitOverride();
  for (const child of command.commands) inherit(child);
  return command;
}
