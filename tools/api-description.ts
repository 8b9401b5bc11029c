/** The OpenAPI description that the server gives at /openapi.json, without a server: routes describe themselves. */
import { silentLog } from '../src/base/index.ts';
import { createApp, type Services } from '../src/http/index.ts';

/** JSON Schema 2020-12, as OpenAPI 3.1 has it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

type Content = Readonly<Record<string, { readonly schema: JsonSchema }>>;

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
  readonly security: readonly object[];
}

export interface ApiDescription {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

export interface NamedOperation extends Operation {
  readonly method: string;
  readonly path: string;
}

export async function apiDescription(): Promise<ApiDescription> {
  // The description needs no service: it is made of the routes alone.
  const app = createApp({} as Services, { log: silentLog });
  const response = await app.fetch(new Request('http://localhost/openapi.json'));
  return (await response.json()) as ApiDescription;
}

/** All operations in the order of the routes. */
export function operationsOf({ paths }: ApiDescription): NamedOperation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method, path })),
  );
}

/** The kinds of content of an operation's success, with their schemas. */
export function successOf({ responses }: Operation): Content {
  const [found] = Object.entries(responses).filter(([status]) => status.startsWith('2'));
  return found?.[1].content ?? {};
}
