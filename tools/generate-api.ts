/**
 * `npm run generate`: what is made from the server's own description, the client's types and the reference of the API. A test says when
 * they are no longer what the schemas say.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { apiDescription } from './api-description.ts';
import { apiReference } from './api-reference.ts';
import { clientSources } from './client-types.ts';

const root = join(import.meta.dirname, '..');

/** The generated files, by their path from the root, with the text that they should have. */
export async function generated(): Promise<ReadonlyMap<string, string>> {
  const description = await apiDescription();
  const { shapes, operations } = await clientSources(description);
  const sources = [
    ['src/client/shapes.ts', shapes],
    ['src/client/operations.ts', operations],
    ['docs/api.md', apiReference(description)],
  ] as const;
  const formatted = sources.map(async ([path, source]): Promise<[string, string]> => {
    const settings = await resolveConfig(join(root, path));
    return [path, await format(source, { ...settings, filepath: path })];
  });
  return new Map(await Promise.all(formatted));
}

export function current(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

if (import.meta.main) {
  for (const [path, text] of await generated()) writeFileSync(join(root, path), text);
}
