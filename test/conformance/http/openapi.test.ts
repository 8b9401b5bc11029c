import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../../src/base/index.ts';
import { createApp } from '../../../src/http/index.ts';
import { ACME_KEY, BASE, EchoServices } from './in-memory-services.ts';

interface Operation {
  readonly summary: string;
  readonly operationId: string;
  readonly security: readonly object[];
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
}

const app = createApp(new EchoServices(), { log: silentLog });
const response = await app.request('/openapi.json');
const description = (await response.json()) as Description;
const operations = Object.entries(description.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
);

test('every documented route exists, and every route is documented', () => {
  assert.equal(description.openapi, '3.1.0');
  // The router's own list, less the catch-alls that answer 405 and the pages of the console.
  const existing = app.routes
    .filter(({ method, path }) => method !== 'ALL' && !/^\/(console.*)?$/.test(path))
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)(\{[^}]*\})?/g, '{$1}')}`);
  const documented = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  assert.ok(documented.length >= 7);
  assert.deepEqual(documented.sort(), existing.sort());
  assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
});

test('every documented route is answered, with a documented status', async () => {
  for (const { path, method, operation } of operations) {
    const url = path.replace('{model}', encodeURIComponent(BASE.name));
    const body = { model: BASE.name, messages: [{ role: 'user', content: 'x' }] };
    const withKey = await app.request(url, {
      method: method.toUpperCase(),
      headers: { Authorization: `Bearer ${ACME_KEY}` },
      ...(method === 'post' ? { body: JSON.stringify(body) } : {}),
    });
    assert.ok(String(withKey.status) in operation.responses, `${method} ${path}: ${withKey.status}`);
    const withoutKey = await app.request(url, { method: method.toUpperCase() });
    assert.equal(withoutKey.status === 401, '401' in operation.responses, `${method} ${path} without a key`);
    if (operation.security.length > 0) assert.equal(withoutKey.status, 401);
  }
});

test('every reference of the description has its target', () => {
  const references = JSON.stringify(description).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  const names = [...references].map((match) => match[1]);
  assert.ok(names.includes('ChatCompletionRequest') && names.includes('Error'));
  for (const name of names) assert.ok(name in description.components.schemas, name);
  assert.equal(description.components.schemas['ChatCompletionRequest']?.['additionalProperties'], false);
});
