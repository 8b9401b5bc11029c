import type { RouteConfig, z } from '@hono/zod-openapi';
import type { Clock } from '../base/index.ts';
import type { Principal } from '../tenancy/index.ts';
import type { Services } from './services.ts';
import { errorBody } from './wire/error.ts';

/** What a handler knows of its request. */
export interface RequestContext {
  readonly request: Request;
  readonly params: Readonly<Record<string, string>>;
  readonly requestId: string;
  /** Fires when the client has gone, or when the server has waited long enough at its closing. */
  readonly signal: AbortSignal;
  readonly services: Services;
  readonly clock: Clock;
  readonly maxBodyBytes: number;
  /** Whether the server has been told to end. */
  isClosing(): boolean;
  /** The request is over only when this promise has settled: a streamed answer outlives its handler. */
  until(end: Promise<void>): void;
  /** Whose key the request carries. */
  identify(principal: Principal): void;
  /** Adds fields to the request's lines in the log: who asked, what answered, how many tokens. Never texts. */
  note(fields: Readonly<Record<string, unknown>>): void;
  /** What failed after the first byte, for the log. */
  reportFailure(error: unknown): void;
}

export interface KeyedContext extends RequestContext {
  readonly principal: Principal;
}

type Handled = Response | Promise<Response>;

interface RouteOf<Access, Context> {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** As OpenAPI writes it: `/v1/models/{model}`. */
  readonly path: string;
  /** `open`: anybody may ask; `key`: an API key is needed. */
  readonly access: Access;
  readonly doc: Omit<RouteConfig, 'method' | 'path'>;
  handle(context: Context): Handled;
}

/** One operation: its documentation and its handler are one object, so neither is without the other. */
export type Route = RouteOf<'open', RequestContext> | RouteOf<'key', KeyedContext>;

export function jsonContent(description: string, schema: z.ZodType): NonNullable<RouteConfig['responses'][string]> {
  return { description, content: { 'application/json': { schema } } };
}

/** The documentation of error responses. */
export function errorDocs(descriptions: Readonly<Record<number, string>>): RouteConfig['responses'] {
  return Object.fromEntries(
    Object.entries(descriptions).map(([status, description]) => [status, jsonContent(description, errorBody)]),
  );
}
