import { fail } from '../base/index.ts';
import { limits, parseJson } from '../formats/index.ts';
import type { z } from '@hono/zod-openapi';
import { HttpError } from './error-response.ts';
import { describeIssues } from './wire/problems.ts';

/**
 * A request's body as JSON, read under a limit whatever its Content-Length says.
 * @throws REQUEST_INVALID it is no JSON in UTF-8, or nested too deep
 * @throws HttpError 413
 */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) failTooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let numBytes = 0;
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    numBytes += chunk.byteLength;
    if (numBytes > maxBytes) failTooLarge(maxBytes);
    chunks.push(chunk);
  }
  const parsed = parseJson(Buffer.concat(chunks), limits.MAX_BODY_DEPTH);
  return 'problem' in parsed ? fail('REQUEST_INVALID', `the body ${parsed.problem}`) : parsed.value;
}

/** @throws REQUEST_INVALID with the problems; `param` is the first one's field */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const { message, param, problems } = describeIssues(result.error.issues, body);
  return fail('REQUEST_INVALID', message, { ...(param === '' ? {} : { param }), problems });
}

function failTooLarge(maxBytes: number): never {
  throw new HttpError(413, 'request_too_large', `the body is larger than ${maxBytes} bytes`, { Connection: 'close' });
}
