/** Who waits for whom while grammars are compiled, with a compiler that ends when the test says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { NativeGrammar, NativeGrammars } from '../numeric/index.ts';
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
  let isWanted = true;
  const [first, second, third] = [
    compiler.compile('a', 'p'),
    compiler.compile('b', 'p', () => isWanted),
    compiler.compile('c', 'p', () => true),
  ];
  await turn();
  assert.deepEqual(gate.begun, ['a']);
  isWanted = false;
  await gate.finish('a');
  assert.deepEqual(gate.begun, ['a', 'c']);
  await gate.finish('c');
  assert.deepEqual([Boolean(await first), await second, Boolean(await third)], [true, undefined, true]);
});
