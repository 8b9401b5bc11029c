/** Who waits for whom while grammars are compiled, with a compiler that ends when the test says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { NativeGrammar, NativeGrammars } from '../numeric/index.ts';
import { EspalierError } from '../base/index.ts';
import { GrammarCompiler } from './compile.ts';

class Gate implements NativeGrammars {
  readonly maskWords = 1;
  readonly begun: string[] = [];
  readonly #running = new Map<string, () => void>();

  compile(definition: string): Promise<NativeGrammar> {
    this.begun.push(definition);
    const grammar: NativeGrammar = { start: () => assert.fail('nothing is answered here') };
    return new Promise((resolve) => this.#running.set(definition, () => resolve(grammar)));
  }

  async finish(definition: string): Promise<void> {
    this.#running.get(definition)?.();
    await turn();
  }
}

test('what is kept compiled waits for nobody, and is compiled once', async () => {
  const gate = new Gate();
  const compiler = new GrammarCompiler(gate);
  const first = compiler.compile('known', 'p');
  await turn();
  await gate.finish('known');
  const known = await first;
  void compiler.compile('slow', 'p');
  await turn();
  assert.equal(await compiler.compile('known', 'p'), known, 'while another is being compiled');
  assert.deepEqual(gate.begun, ['known', 'slow']);
});

test('one after the other; what nobody waits for any more is passed by', async () => {
  const gate = new Gate();
  const compiler = new GrammarCompiler(gate);
  const givenUp = new AbortController();
  const [first, second, third] = [
    compiler.compile('a', 'p'),
    compiler.compile('b', 'p', { tenant: null, signal: givenUp.signal }),
    compiler.compile('c', 'p', { tenant: null }),
  ];
  await turn();
  assert.deepEqual(gate.begun, ['a']);
  givenUp.abort();
  assert.equal(await second, undefined, 'at once');
  await gate.finish('a');
  assert.deepEqual(gate.begun, ['a', 'c']);
  await gate.finish('c');
  assert.deepEqual([Boolean(await first), await second, Boolean(await third)], [true, undefined, true]);
});

test('tenants take turns: one that asks for many grammars delays another’s by one', async () => {
  const gate = new Gate();
  const compiler = new GrammarCompiler(gate);
  for (let n = 0; n < 20; n++) void compiler.compile(`acme ${n}`, 'p', { tenant: 'acme' });
  await turn();
  const other = compiler.compile('globex', 'p', { tenant: 'globex' });
  for (const definition of ['acme 0', 'acme 1', 'globex', 'acme 2']) {
    assert.equal(gate.begun.at(-1), definition);
    await gate.finish(definition);
  }
  assert.ok(await other);
  assert.equal(gate.begun.length, 5, 'one at a time');
});

test('a grammar that is wrong, and one that was given up before, hold nobody up', async () => {
  const compile = (definition: string): Promise<NativeGrammar> =>
    definition === 'wrong' ? Promise.reject(new EspalierError('REQUEST_INVALID', 'no')) : gate.compile(definition);
  const gate = new Gate();
  const compiler = new GrammarCompiler({ maskWords: 1, compile });
  const wrong = compiler.compile('wrong', 'p', { tenant: 'acme' });
  const never = compiler.compile('never', 'p', { tenant: 'acme', signal: AbortSignal.abort() });
  const right = compiler.compile('right', 'p', { tenant: 'acme' });
  await assert.rejects(wrong, { code: 'REQUEST_INVALID', param: 'p' });
  await turn();
  await gate.finish('right');
  assert.ok(await right);
  assert.equal(await never, undefined);
  assert.deepEqual(gate.begun, ['right']);
});

test('one tenant’s many grammars leave another’s compiled', async () => {
  const gate = new Gate();
  const compiler = new GrammarCompiler(gate);
  const ask = async (definition: string, tenant: string): Promise<void> => {
    const compiling = compiler.compile(definition, 'p', { tenant });
    await turn();
    await gate.finish(definition);
    await compiling;
  };
  await ask('rare', 'globex');
  for (let n = 0; n < 100; n++) await ask(`acme ${n}`, 'acme');
  const before = gate.begun.length;
  await ask('rare', 'globex');
  await ask('acme 99', 'acme');
  await ask('acme 69', 'acme');
  assert.equal(gate.begun.length, before, 'all of these are kept');
  await ask('acme 68', 'acme');
  assert.equal(gate.begun.length, before + 1, 'the oldest went');
});
