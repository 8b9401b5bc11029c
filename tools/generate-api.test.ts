/** What is generated from the server's schemas is what they say now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATIONS } from '../src/client/index.ts';
import { apiDescription, operationsOf, type JsonSchema } from './api-description.ts';
import { current, generated } from './generate-api.ts';

test('the client’s types and the reference of the API are current', async () => {
  const files = await generated();
  assert.deepEqual([...files.keys()], ['src/client/operations.ts', 'docs/api.md']);
  for (const [path, text] of files) assert.ok(current(path) === text, `${path} is old: npm run generate`);
});

test('every route of the server is an operation of the client and stands in the reference', async () => {
  const operations = operationsOf(await apiDescription());
  assert.ok(operations.length > 30);
  assert.deepEqual(Object.keys(OPERATIONS).sort(), operations.map(({ operationId }) => operationId).sort());
  const reference = current('docs/api.md');
  for (const { method, path } of operations) {
    assert.ok(reference.includes(`### \`${method.toUpperCase()} ${path}\``), `${method} ${path}`);
  }
});

test('no named shape can be null: what may be null says so where it is used', async () => {
  const { schemas } = (await apiDescription()).components;
  assert.ok(Object.keys(schemas).length > 30);
  for (const [name, schema] of Object.entries(schemas)) {
    const kinds = [schema, ...((schema['anyOf'] ?? schema['oneOf'] ?? []) as readonly JsonSchema[])];
    assert.ok(!kinds.some(({ type }) => [type].flat().includes('null')), `${name} allows null`);
  }
});
