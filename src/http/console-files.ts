import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { newId } from '../base/index.ts';
import { HttpError } from './error-response.ts';

interface ConsoleFile {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzipped: Uint8Array<ArrayBuffer>;
  readonly tag: string;
}

/** The built console, in memory: its page, and its files by their path below `/console/`. */
export interface ConsoleFiles {
  readonly page: string;
  readonly files: ReadonlyMap<string, ConsoleFile>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.md': 'text/markdown; charset=utf-8',
};
const PAGE = 'index.html';
/** Stands in the page where its nonce goes. */
const NONCE = '__NONCE__';
/** Names of these files change with their content. */
const IMMUTABLE = 'public, max-age=31536000, immutable';

const SAFETY = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
} as const;

/** @returns undefined where the console has not been built */
export function readConsoleFiles(folder: string): ConsoleFiles | undefined {
  if (!existsSync(join(folder, PAGE))) return undefined;
  const files = new Map<string, ConsoleFile>();
  for (const path of globSync('**/*.*', { cwd: folder })) {
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const bytes = new Uint8Array(readFileSync(join(folder, path)));
    const tag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"`;
    files.set(path.replaceAll('\\', '/'), { type, bytes, gzipped: new Uint8Array(gzipSync(bytes)), tag });
  }
  return { page: readFileSync(join(folder, PAGE), 'utf8'), files };
}

/**
 * A file of the console, or its page for every other path, which the page itself reads. Nothing in the page comes from the request.
 * @throws HttpError 404 the console has not been built, or has no such file
 */
export function consoleResponse(built: ConsoleFiles | undefined, request: Request): Response {
  const { pathname } = new URL(request.url);
  if (!built) {
    throw new HttpError(404, 'unknown_url', 'this server has no console: "npm run build:console" makes it');
  }
  if (!pathname.startsWith('/console/')) return new Response(null, { status: 302, headers: { Location: '/console/' } });
  const path = pathname.slice('/console/'.length);
  const file = built.files.get(path);
  if (file) return fileResponse(file, request, path.startsWith('assets/'));
  if (path.startsWith('assets/')) throw new HttpError(404, 'unknown_url', `the console has no file ${path}`);
  return pageResponse(built.page);
}

function fileResponse(file: ConsoleFile, { headers: asked }: Request, isImmutable: boolean): Response {
  const headers = {
    ...SAFETY,
    'Cache-Control': isImmutable ? IMMUTABLE : 'no-cache',
    ETag: file.tag,
    Vary: 'Accept-Encoding',
  };
  if (asked.get('if-none-match') === file.tag) return new Response(null, { status: 304, headers });
  const isGzipped = /\bgzip\b/.test(asked.get('accept-encoding') ?? '');
  return new Response(isGzipped ? file.gzipped : file.bytes, {
    headers: { ...headers, 'Content-Type': file.type, ...(isGzipped && { 'Content-Encoding': 'gzip' }) },
  });
}

/** The components write style elements as they appear: each page has a nonce of its own for them, and scripts come from files only. */
function pageResponse(page: string): Response {
  const nonce = newId('');
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return new Response(page.replaceAll(NONCE, nonce), {
    headers: {
      ...SAFETY,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': policy,
      'Cache-Control': 'no-store',
    },
  });
}
