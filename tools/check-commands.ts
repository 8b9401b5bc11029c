/**
 * What the documents tell people to type must work as it stands there: every `espalier` command is parsed by the program's own command line
 * (its name, options, values, arguments), every `npm run` script exists, and every curl asks a route that there is, with a body that is JSON.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError, type Command } from 'commander';
import { makeProgram } from '../src/cli/program.ts';
import { OPERATIONS } from '../src/client/index.ts';
import { lineAt } from './source-text.ts';

export interface CommandProblem {
  /** `docs/deployment.md:12`. */
  readonly where: string;
  readonly message: string;
}

/** A command line of a document. */
export interface DocumentedCommand {
  readonly where: string;
  readonly words: readonly string[];
}

const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', 'docs/*.md', 'docs/guides/*.md', 'examples/README.md', 'deploy/*'];
/** Blocks of a document whose lines are typed, or are read by something that runs them. */
const TYPED = new Set(['sh', 'bash', '', 'ini']);
const PROGRAMS = new Set(['espalier', 'npm', 'node', 'curl']);

/** Every command line of the documents under `root` that starts one of {@link PROGRAMS}. */
export function documentedCommands(root: string): DocumentedCommand[] {
  return DOCUMENTS.flatMap((pattern) => globSync(pattern, { cwd: root }))
    .sort()
    .flatMap((path) => commandsOf(path, readFileSync(join(root, path), 'utf8')));
}

/** @param path a file that is no Markdown is one block */
export function commandsOf(path: string, text: string): DocumentedCommand[] {
  const found: DocumentedCommand[] = [];
  const add = (block: string, offset: number): void => {
    // A line that ends in a backslash goes on, and so does a text in quotes.
    for (const match of block.matchAll(/(?:'[^']*'|\\\n|[^'\n])+/g)) {
      const where = `${path}:${lineAt(text, offset + match.index)}`;
      for (const words of commandsOfLine(match[0].replaceAll('\\\n', ' '))) found.push({ where, words });
    }
  };
  if (!path.endsWith('.md')) add(text, 0);
  for (const match of path.endsWith('.md') ? text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm) : []) {
    if (TYPED.has(match[1])) add(match[2], match.index + match[0].indexOf('\n') + 1);
  }
  for (const match of path.endsWith('.md') ? text.matchAll(/`((?:npx )?espalier [a-z][^`\n]*|npm [^`\n]*)`/g) : []) {
    // In a sentence a command may stand without what it needs, and with … for what is left out.
    const words = match[1].split(' ').filter((word) => word !== 'npx');
    if (!match[1].includes('…') && !/[A-Z]{3}/.test(match[1])) {
      found.push({ where: `${path}:${lineAt(text, match.index)}`, words: [...words, SENTENCE] });
    }
  }
  return found;
}

/** Options of other programs that the documents name alone: podman's, llama.cpp's, mlx-lm's. */
const OTHERS = ['--shm-size', '--lora', '--adapter-path'];

/** The options that a document names by themselves in a sentence, such as `--rank 8`, and that no command of the program has. */
export function unknownOptions(path: string, text: string): CommandProblem[] {
  const known = new Set([...optionsOf(makeProgram()), ...OTHERS]);
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, (block) => block.replaceAll(/[^\n]/g, ' '));
  return [...prose.matchAll(/`(--[a-z][^`\n]*)`/g)].flatMap((match) =>
    [...match[1].matchAll(/(?:^|\s)(--[a-z][a-z-]*)/g)]
      .map(([, option]) => option)
      .filter((option) => !known.has(option))
      .map((option) => ({
        where: `${path}:${lineAt(prose, match.index)}`,
        message: `${option}: no command has this option`,
      })),
  );
}

function optionsOf(command: Command): ReadonlySet<string> {
  const own = command.options.flatMap(({ long }) => long ?? []);
  return new Set([...own, '--help', ...command.commands.flatMap((child) => [...optionsOf(child)])]);
}

/** Marks a command that stands in a sentence: what it lacks is no problem. */
const SENTENCE = '(in a sentence)';

/** The commands of one line, between `&&` and `|`. */
function commandsOfLine(line: string): (readonly string[])[] {
  const listed = /^\s*(?:CMD|ENTRYPOINT) (\[.*\])$/.exec(line)?.[1];
  const trimmed = listed === undefined ? line.trim().replace(/^#\s+/, '') : (JSON.parse(listed) as string[]).join(' ');
  const words = [...trimmed.matchAll(/(?:'[^']*'|"(?:\\.|[^"])*"|[^\s'"])+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|"((?:\\.|[^"])*)"/g, (_, single?: string, double?: string) => single ?? double ?? ''),
  );
  const commands: string[][] = [[]];
  for (const word of words) {
    if (/^(?:&&|\|\|?|;|>|#)$/.test(word)) commands.push([]);
    else commands.at(-1)?.push(word);
  }
  return commands.map(started).filter(([program]) => program !== undefined && PROGRAMS.has(program));
}

/** A command without what stands before it: variables, `npx`, `sudo -u USER`, `podman exec NAME`, the way to the program. */
function started(words: readonly string[]): readonly string[] {
  const [first = '', second = ''] = words;
  if (/^[A-Z_]+=/.test(first) || first === 'npx') return started(words.slice(1));
  if ((first === 'sudo' && second === '-u') || (first === 'podman' && second === 'exec'))
    return started(words.slice(3));
  return [first.replace(/^ExecStart=/, '').replace(/^\/usr\/local\/bin\//, ''), ...words.slice(1)];
}

/** What is wrong with the commands, if anything. @param scripts names of package.json's */
export async function checkCommands(
  root: string,
  commands: readonly DocumentedCommand[],
  scripts: ReadonlySet<string>,
): Promise<CommandProblem[]> {
  const problems: CommandProblem[] = [];
  for (const { where, words } of commands) {
    const message = await problemOf(root, words, scripts);
    if (message !== undefined) problems.push({ where, message: `${words.join(' ')}: ${message}` });
  }
  return problems;
}

async function problemOf(
  root: string,
  [program, ...args]: readonly string[],
  scripts: ReadonlySet<string>,
): Promise<string | undefined> {
  switch (program) {
    case 'espalier':
      return parseProblem(args);
    case 'npm':
      return npmProblem(args, scripts);
    case 'node': {
      const file = args.find((arg) => /^[\w./-]+\.ts$/.test(arg));
      return file === undefined || existsSync(join(root, file)) || existsSync(join(root, 'examples', file))
        ? undefined
        : `there is no ${file}`;
    }
    default:
      return curlProblem(args);
  }
}

async function npmProblem(
  [verb, name, ...rest]: readonly string[],
  scripts: ReadonlySet<string>,
): Promise<string | undefined> {
  if (verb === 'start') return parseProblem(['start', ...rest]);
  if (verb !== 'run') return undefined;
  if (name === undefined || !scripts.has(name)) return `package.json has no script ${name}`;
  return name === 'espalier' && rest[0] === '--' ? parseProblem(rest.slice(1)) : undefined;
}

/** The command line's own words about a call, without doing what it says. */
export async function parseProblem(args: readonly string[]): Promise<string | undefined> {
  const isSentence = args.at(-1) === SENTENCE;
  const program = silent(makeProgram());
  try {
    await program.parseAsync(isSentence ? args.slice(0, -1) : args, { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const lacks = ['commander.missingArgument', 'commander.missingMandatoryOptionValue', 'commander.help'];
    if (error.exitCode === 0 || (isSentence && lacks.includes(error.code))) return undefined;
    return error.message;
  }
}

function silent(command: Command): Command {
  command.configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  // A command with others under it keeps its way of asking which.
  if (command.commands.length === 0) command.action(() => undefined);
  for (const child of command.commands) silent(child);
  return command;
}

function curlProblem(args: readonly string[]): string | undefined {
  const url = args.find((arg) => /^https?:/.test(arg));
  if (url === undefined) return 'it names no address';
  const path = new URL(url.replace('…', 'x')).pathname;
  const method = args.includes('-X') ? args[args.indexOf('-X') + 1] : args.includes('-d') ? 'POST' : 'GET';
  const fits = Object.values(OPERATIONS).some(
    (operation) =>
      operation.method === method && new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  if (!fits) return `the server has no route ${method} ${path}`;
  const body = args[args.indexOf('-d') + 1];
  if (!args.includes('-d') || body === undefined || body.includes('…')) return undefined;
  try {
    JSON.parse(body);
    return undefined;
  } catch (error) {
    return `its body is no JSON: ${String(error)}`;
  }
}
