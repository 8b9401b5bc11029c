/** Every command of the documents is one that can be typed. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkCommands, commandsOf, documentedCommands, unknownOptions } from './check-commands.ts';

const root = dirname(import.meta.dirname);
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
const names = new Set(Object.keys(scripts));

test('every command of README, docs, examples and deploy exists, with its options and values', async () => {
  const commands = documentedCommands(root);
  const programs = commands.map(({ words: [program] }) => program);
  assert.ok(programs.filter((name) => name === 'espalier').length >= 80, `${programs.length} commands`);
  assert.ok(programs.filter((name) => name === 'curl').length >= 3);
  for (const path of ['deploy/espalier.service', 'deploy/Containerfile']) {
    assert.ok(
      commands.some(({ where, words }) => where.startsWith(path) && words[1] === 'serve'),
      path,
    );
  }
  assert.deepEqual(await checkCommands(root, commands, names), []);
});

test('a command that cannot be typed is found', async () => {
  const wrong = [
    ['espalier nonsense', /unknown command 'nonsense'/],
    ['npx espalier train --base b --data d --output o --rnk 8', /unknown option '--rnk'/],
    ['espalier evaluate --data d', /required option '--base <name>' not specified/],
    ['ESPALIER_HOME=/x espalier plan --model 7b --rank many', /'many' is invalid/],
    ['espalier adapters promote', /missing required argument 'ref'/],
    ['espalier tenants create a && espalier keys make a', /unknown command 'make'/],
    ['npm run espalier -- serve --base b --prot 80', /unknown option '--prot'/],
    ['npm run nothing', /package.json has no script nothing/],
    ['node bench/nothing.ts', /there is no bench\/nothing.ts/],
    ['curl -s http://127.0.0.1:8080/v1/chats -d {}', /no route POST \/v1\/chats/],
    ["curl -s http://127.0.0.1:8080/v1/embeddings -d '{model: 1}'", /its body is no JSON/],
  ] as const;
  for (const [line, expected] of wrong) {
    const commands = commandsOf('x.md', `\`\`\`sh\n${line}\n\`\`\`\n`);
    const problems = await checkCommands(root, commands, names);
    assert.equal(problems.length, 1, line);
    assert.match(problems[0].message, expected);
    assert.equal(problems[0].where, 'x.md:2');
  }
  const unit = commandsOf('x.service', 'ExecStart=/usr/local/bin/espalier serve --base b --prt 1\n');
  assert.match((await checkCommands(root, unit, names))[0].message, /unknown option '--prt'/);
  const sentence = commandsOf('x.md', 'Say `espalier adapters promote` or `espalier adapters promot`.\n');
  assert.deepEqual((await checkCommands(root, sentence, names)).length, 1);
});

test('every option that a document names by itself is one of some command', () => {
  // Not the measurements: they name options of programs that are no commands.
  const documents = ['README.md', 'docs/*.md', 'docs/guides/*.md', 'docs/decisions/*.md', 'examples/README.md']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((path) => path !== join('docs', 'measurements.md'));
  const text = (path: string): string => readFileSync(join(root, path), 'utf8');
  const numNamed = documents.reduce((sum, path) => sum + text(path).split('`--').length - 1, 0);
  assert.ok(numNamed > 30, `${numNamed} options`);
  assert.deepEqual(
    documents.flatMap((path) => unknownOptions(path, text(path))),
    [],
  );
  const wrong = unknownOptions('x.md', 'One `--rank 8`,\ntwo `--rnk 8 --targets all-linear`.\n```sh\n`--none`\n```\n');
  assert.deepEqual(wrong, [{ where: 'x.md:2', message: '--rnk: no command has this option' }]);
});

test('links between the documents lead somewhere', () => {
  const documents = ['README.md', 'docs/*.md', 'docs/guides/*.md', 'examples/README.md'];
  const headings = (path: string): Set<string> =>
    new Set(
      [...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
  let numLinks = 0;
  for (const document of documents.flatMap((pattern) => globSync(pattern, { cwd: root }))) {
    const text = readFileSync(join(root, document), 'utf8');
    for (const [, target] of text.matchAll(/\]\(((?!https?:)[^)]+)\)/g)) {
      const [path, anchor] = target.split('#');
      const at = path === '' ? join(root, document) : join(root, dirname(document), path);
      assert.ok(globSync(at).length === 1, `${document} links to ${target}`);
      if (anchor) assert.ok(headings(at).has(anchor), `${document} links to ${target}`);
      numLinks++;
    }
  }
  assert.ok(numLinks > 50);
});
