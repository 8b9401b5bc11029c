/** What is generated from the server's schemas is what they say now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATIONS } from '../src/client/index.ts';
import { apiDescription, operationsOf, type JsonSchema } from './api-description.ts';
import { current, generated } from './generate-api.ts';

test('the client’s types and the reference of the API are current', async () => {
  const files = await generated();
  assert.deepEqual([...files.keys()], ['src/client/shapes.ts', 'src/client/operations.ts', 'docs/api.md']);
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

test('a shape that stands in several places has a name, and is written out once', async () => {
  const { paths, components } = await apiDescription();
  const places = new Map<string, string[]>();
  const look = (value: unknown, at: string): void => {
    if (typeof value !== 'object' || value === null) return;
    const { description: _, ...schema } = value as JsonSchema;
    const isShape = [schema['type']].flat().includes('object');
    if (isShape && Object.keys(schema['properties'] ?? {}).length > 1) {
      const text = JSON.stringify({ ...schema, type: 'object' });
      places.set(text, [...(places.get(text) ?? []), at]);
    }
    for (const [key, inner] of Object.entries(value)) look(inner, `${at}/${key}`);
  };
  look(components.schemas, 'schemas');
  look(paths, 'paths');
  assert.ok(places.size > 60);
  assert.deepEqual(
    [...places.values()].filter((at) => at.length > 1),
    [],
  );
  const client = current('src/client/shapes.ts');
  for (const name of Object.keys(components.schemas)) {
    assert.equal([...client.matchAll(new RegExp(`^export (interface|type) ${name}\\b`, 'gm'))].length, 1, name);
  }
});

test('words about one place stand beside the reference, not in the shape', async () => {
  const { schemas } = (await apiDescription()).components;
  const fields = schemas['CreateFineTuningJobRequest']?.['properties'] as Record<string, JsonSchema> | undefined;
  const named = '#/components/schemas/FineTuneSupervisedHyperparameters';
  assert.deepEqual(fields?.['hyperparameters'], { allOf: [{ $ref: named }, { description: 'Older form of method.' }] });
  assert.equal(schemas['FineTuneSupervisedHyperparameters']?.['description'], undefined);
  assert.match(current('src/client/shapes.ts'), /Older form of method\. \*\/\n *hyperparameters\?: FineTuneSuper/);
  assert.match(
    current('docs/api.md'),
    /`hyperparameters` \(\[FineTuneSupervisedHyperparameters\]\(#finetunesupervisedhyperparameters\)\): Older form of method\./,
  );
});

test('no named shape can be null: what may be null says so where it is used', async () => {
  const { schemas } = (await apiDescription()).components;
  assert.ok(Object.keys(schemas).length > 30);
  for (const [name, schema] of Object.entries(schemas)) {
    const kinds = [schema, ...((schema['anyOf'] ?? schema['oneOf'] ?? []) as readonly JsonSchema[])];
    assert.ok(!kinds.some(({ type }) => [type].flat().includes('null')), `${name} allows null`);
  }
});
