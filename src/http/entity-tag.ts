import { createHash } from 'node:crypto';

/**
 * A JSON answer that says nothing to who has it already: with the digest of its bytes as its `ETag`, and 304 where the request's
 * `If-None-Match` has that one (RFC 9110, 13.1.2). For lists that are polled.
 */
export function taggedJson({ headers }: Request, body: object): Response {
  const text = JSON.stringify(body);
  const tag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  const known = (headers.get('if-none-match') ?? '').split(',').map((one) => one.trim().replace(/^W\//, ''));
  if (known.includes(tag)) return new Response(null, { status: 304, headers: { ETag: tag } });
  return new Response(text, { headers: { 'Content-Type': 'application/json', ETag: tag } });
}
