/** The npm package: packed, installed into an empty folder, and used from there as a command and as a typed library. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { Plan, TrainOutcome } from '../../src/app/index.ts';
import { run, runJson, TemporaryFolder, type ProgramOptions } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = new TemporaryFolder();
const home = folder.join('home');
const project = folder.join('project');
const installed = folder.join('project', 'node_modules', 'espalier');
/** The Node that runs the tests comes first, whatever else the machine has. */
const env = { PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` };
const espalier: ProgramOptions = { home, cwd: project, env, command: ['npx', '--no-install', 'espalier'] };
const execute = promisify(execFile);

function npm(cwd: string, ...args: readonly string[]): Promise<unknown> {
  return execute('npm', args, { cwd, env: { ...process.env, ...env } });
}

before(async () => {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "user", "version": "1.0.0", "type": "module" }\n');
  await npm(root, 'pack', '--pack-destination', folder.path);
  const [tarball] = readdirSync(folder.path).filter((name) => name.endsWith('.tgz'));
  assert.ok(tarball, 'npm pack made a tarball');
  await npm(project, 'install', '--no-audit', '--no-fund', '--prefer-offline', folder.join(tarball));
  writeTinyBase(folder.join('tiny'));
  writeChats(folder.join('train.jsonl'), { count: 6, words: 10, seed: 1 });
});
after(() => folder[Symbol.dispose]());

test('the package has the compiled program, its types and its kernels, and nothing else', () => {
  const files = globSync('**/*', { cwd: installed, exclude: ['node_modules/**'] });
  const addon = `native/espalier.${process.platform}-${process.arch}.node`;
  const needed = [
    'console/dist/index.html',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/main.js',
    'dist/serving/worker.js',
    'dist/client/index.js',
    addon,
  ];
  const documents = ['README.md', 'LICENSE', 'CHANGELOG.md', 'package.json'];
  for (const path of [...needed, ...documents]) assert.ok(files.includes(path), `${path} is in the package`);
  const foreign = files.filter(
    (path) =>
      !/^(dist|native|console|console\/dist|console\/dist\/assets)$/.test(path) &&
      !/^console\/dist\/(index\.html|licenses\.md|assets\/[\w.-]+\.(js|css|svg))$/.test(path) &&
      !/^native\/espalier\.[\w-]+\.node$/.test(path) &&
      !/^dist(\/[a-z0-9-]+)*(\/[a-z0-9-]+(\.d\.ts|\.js))?$/.test(path) &&
      !documents.includes(path),
  );
  assert.deepEqual(foreign, []);
  assert.deepEqual(
    files.filter((path) => /\.test\./.test(path)),
    [],
  );
  assert.notEqual(realpathSync(installed), realpathSync(root), 'it is a copy, not a link');
});

test('npx espalier says what it can do', async () => {
  const { code, stdout } = await run(['--help'], espalier);
  assert.equal(code, 0);
  for (const command of ['train', 'serve', 'plan', 'adapters']) assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal((await run(['--version'], espalier)).stdout.trim(), version);
});

test('it plans', async () => {
  const plan = await runJson<Plan>(['plan', '--model', '7b'], espalier);
  assert.ok(plan.trainable.parameters > 0);
});

test('it trains in its child process, and answers', async () => {
  const options = ['--base', folder.join('tiny'), '--data', folder.join('train.jsonl'), '--max-steps', '2'];
  const output = folder.join('adapter');
  const outcome = await runJson<TrainOutcome>(['train', ...options, '--output', output], espalier);
  assert.equal(outcome.steps, 2);
  const asked = ['--base', folder.join('tiny'), '--adapter', output, '--prompt', 'pear', '--max-tokens', '4'];
  assert.ok((await runJson<{ text: string }>(['generate', ...asked], espalier)).text.length > 0);
});

/** A user's program. Each expected error would be none if a type had been lost on the way and become `any`. */
const LIBRARY_USE = `
import {
  EspalierError, makePlan, readConfig, serve, silentLog, trainAdapter, TRAIN_DEFAULTS,
  type AppConfig, type Plan, type TrainOptions, type TrainOutcome,
} from 'espalier';
import { ApiError, EspalierClient, type ChatCompletion } from 'espalier/client';

const config: AppConfig = { ...readConfig(), home: process.argv[2] as string };
const plan: Plan = makePlan({ model: '7b', rank: 16 });
// @ts-expect-error a name is text
const name: number = plan.model.name;
const options: TrainOptions = {
  ...TRAIN_DEFAULTS,
  base: process.argv[3] as string,
  data: process.argv[4] as string,
  output: process.argv[5] as string,
  maxSteps: 1,
};
// @ts-expect-error there is no such method
const wrong: TrainOptions = { ...options, method: 'nonsense' };
const outcome: TrainOutcome = await trainAdapter(config, options);
// @ts-expect-error steps are a number
const steps: string = outcome.steps;
await using server = await serve(config, { bases: [options.base], host: '127.0.0.1', port: 0 }, silentLog);
const client = new EspalierClient({ baseUrl: server.url });
const health = await client.call('getHealth');
// @ts-expect-error the status is text
const status: number = health.status;
// @ts-expect-error a model must be named
const asked: Promise<ChatCompletion> = client.call('createChatCompletion', { body: { messages: [] } });
const refused = await asked.catch((error: unknown) => (error instanceof ApiError ? error.status : error));
const page = await fetch(server.url);
let code: string | undefined;
try {
  await trainAdapter(config, { ...options, data: 'no-such-file.jsonl' });
} catch (error) {
  if (error instanceof EspalierError) code = error.code;
}
console.log(
  JSON.stringify({ name, steps, health: status, page: await page.text(), refused, code, wrong: wrong.method }),
);
`;

test('a TypeScript program type-checks against it and runs', async () => {
  writeFileSync(join(project, 'use.ts'), LIBRARY_USE);
  const modules = join(root, 'node_modules');
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2024',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    skipLibCheck: true,
    typeRoots: [join(modules, '@types')],
    types: ['node'],
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts'] }));
  const compiler = join(modules, 'typescript', 'bin', 'tsc');
  const checked = await run(['-p', 'tsconfig.json'], { ...espalier, command: [process.execPath, compiler] });
  assert.equal(checked.code, 0, checked.stdout);

  const files = [home, folder.join('tiny'), folder.join('train.jsonl'), folder.join('library')];
  const used = await run(files, { ...espalier, command: [process.execPath, 'use.ts'] });
  assert.equal(used.code, 0, used.stderr);
  const said = JSON.parse(used.stdout) as Record<string, unknown>;
  assert.deepEqual(
    [said['steps'], said['health'], said['refused'], said['code'], said['wrong']],
    [1, 'ok', 401, 'FILE_NOT_FOUND', 'nonsense'],
  );
  assert.equal(typeof said['name'], 'string');
  assert.match(String(said['page']), /<title>Espalier<\/title>/, 'the console is served');
});
