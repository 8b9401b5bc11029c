import { OPERATIONS, type Operations } from './operations.ts';

/** The name of an operation, as `/openapi.json` has it. */
export type OperationId = keyof Operations & keyof typeof OPERATIONS;

/** What an operation takes: `path`, `query`, `headers` and `body`, as far as it has them. */
export type Input<Id extends OperationId> = Omit<Operations[Id], 'answer' | 'event'>;

/** What an operation answers. */
export type Answer<Id extends OperationId> = Operations[Id] extends { answer: infer Of } ? Of : never;

/** Operations whose answer may come as a stream. */
export type StreamedId = { [Id in OperationId]: Operations[Id] extends { event: unknown } ? Id : never }[OperationId];

/** One event of a stream. */
export type StreamEvent<Id extends StreamedId> = Operations[Id] extends { event: infer Of } ? Of : never;

type Value = string | number | boolean | undefined;
type Values = Readonly<Record<string, Value>> | undefined;

/** The parts of an input, without the types of one operation. */
export interface AnyInput {
  readonly path?: Values;
  readonly query?: Values;
  /** By their names; a named set of them has no index. */
  readonly headers?: object | undefined;
  readonly body?: unknown;
}

/** The address of an operation: parameters of the path and the query are encoded, what is undefined is left out. */
export function addressOf(baseUrl: string, id: OperationId, { path = {}, query = {} }: AnyInput): string {
  const place = OPERATIONS[id].path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = path[name];
    if (value === undefined || value === '') throw new TypeError(`${id}: path.${name} is missing`);
    return encodeURIComponent(String(value));
  });
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]));
  return `${baseUrl}${place}${given.length > 0 ? `?${search.toString()}` : ''}`;
}

/** A body as fetch takes it. Fields of a field of a form are written with brackets, as the server reads them. */
export function bodyOf(id: OperationId, body: unknown): { body?: string | FormData; contentType?: string } {
  switch (OPERATIONS[id].body) {
    case 'none':
      return {};
    case 'form':
      return { body: formOf(body as FormFields) };
    case 'json':
      return { body: JSON.stringify(body), contentType: 'application/json' };
  }
}

type FormFields = Readonly<Record<string, Value | Blob | Readonly<Record<string, Value>>>>;

function formOf(fields: FormFields): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (value instanceof Blob) form.append(name, value);
    else if (typeof value === 'object') {
      for (const [inner, of] of Object.entries(value)) form.append(`${name}[${inner}]`, String(of));
    } else form.append(name, String(value));
  }
  return form;
}
