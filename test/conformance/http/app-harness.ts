/** The app over in-memory services, made anew before each test, asked without a socket. */
import assert from 'node:assert/strict';
import { beforeEach } from 'node:test';
import type { Hono } from 'hono';
import type { Clock, Log } from '../../../src/base/index.ts';
import { ACME_KEY, BASE, EchoServices } from './in-memory-services.ts';
import { createApp, type AppOptions } from '../../../src/http/app.ts';

const clock: Clock = { nowMs: () => 5, epochMs: () => 1_700_000_000_999 };
/** The smallest request that is answered. */
export const HELLO = { model: BASE.name, messages: [{ role: 'user', content: 'hello dear world' }] };

export let services: EchoServices;
export let app: Hono;
export let logged: { level: string; fields: Record<string, unknown>; message: string }[];

/** A new app over new services; {@link logged} starts empty. */
export function restart(options: Partial<AppOptions> = {}): void {
  logged = [];
  const to =
    (level: string): Log['info'] =>
    (fields, message) =>
      void logged.push({ level, fields, message });
  services = new EchoServices();
  const log = { info: to('info'), warn: to('warn'), error: to('error') };
  app = createApp(services, { log, clock, maxBodyBytes: 4096, ...options });
}

beforeEach(() => restart());

export function get(
  path: string,
  key: string | null = ACME_KEY,
  headers: Record<string, string> = {},
): Promise<Response> {
  return Promise.resolve(
    app.request(path, { headers: { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...headers } }),
  );
}

export function post(
  body: unknown,
  headers: Record<string, string> = {},
  path = '/v1/chat/completions',
): Promise<Response> {
  return Promise.resolve(
    app.request(path, {
      method: 'POST',
      headers: { Authorization: `Bearer ${ACME_KEY}`, 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export async function errorOf(response: Response): Promise<ErrorBody['error']> {
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  const body = (await response.json()) as ErrorBody;
  assert.deepEqual(Object.keys(body), ['error']);
  assert.deepEqual(Object.keys(body.error).sort(), ['code', 'message', 'param', 'type']);
  return body.error;
}

/** The data of every frame. */
export async function framesOf(response: Response): Promise<string[]> {
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const text = await response.text();
  assert.ok(text.endsWith('\n\n'));
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((frame) => {
      assert.match(frame, /^data: [^\n]+$/);
      return frame.slice('data: '.length);
    });
}

export function assertNothingHeld(): void {
  assert.equal(services.numAdmitted, 0, 'requests admitted');
  assert.equal(services.numAnswering, 0, 'requests being answered');
}
