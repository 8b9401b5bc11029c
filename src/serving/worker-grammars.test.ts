import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letterTokenizer } from '../../test/support/letter-tokenizer.ts';
import { ANY_OBJECT, engineForm } from '../grammar/index.ts';
import { vocabularyBytes } from '../text/index.ts';
import { WorkerGrammars } from './worker-grammars.ts';

const tokenizer = letterTokenizer();
const vocabulary = vocabularyBytes(tokenizer, tokenizer.vocabSize);
const grammar = { definition: engineForm(ANY_OBJECT, 'response_format'), param: 'response_format' };

test('a request that is cancelled while its grammar is compiled is not submitted, and no other is touched', async () => {
  const grammars = new WorkerGrammars(vocabulary);
  // Compiling takes at least a turn of the event loop: both are still at it.
  const cancelled = grammars.compile('a', grammar, 'acme');
  const other = grammars.compile('b', grammar, 'acme');
  grammars.cancel('a');
  assert.equal(await cancelled, undefined);
  assert.ok(await other);
  grammars.cancel('b');
  assert.ok(await grammars.compile('c', grammar, 'acme'), 'what comes after a cancellation');
});

test('what is wrong with a grammar names the field of the request', async () => {
  const grammars = new WorkerGrammars(vocabulary);
  const definition = JSON.stringify({ grammars: [{ lark_grammar: 'start: /(/' }] });
  const wrong = { definition, param: 'guided_regex' };
  await assert.rejects(grammars.compile('a', wrong, 'acme'), { code: 'REQUEST_INVALID', param: 'guided_regex' });
  assert.ok(await grammars.compile('b', grammar, 'acme'), 'the next one is compiled');
});

test('a model without a token that ends an answer takes no grammar', async () => {
  await assert.rejects(new WorkerGrammars(null).compile('a', grammar, 'acme'), {
    code: 'REQUEST_INVALID',
    param: 'response_format',
  });
});
