/** What a classifier reads of a mail: where it is from, what it is made of, its subject and its text as plain words. */
export interface PlainMail {
  /** The host of the sender's address; `none` where the header has none. */
  readonly senderHost: string;
  /** The outermost media type, such as `text/html`. */
  readonly mediaType: string;
  readonly subject: string;
  readonly text: string;
}

/**
 * Reads the subject and the readable text of a raw mail (RFC 5322 headers, the first text part of MIME, quoted-printable
 * and base64 transfer encodings, HTML stripped to its text). Unknown encodings give an empty text, never an error:
 * real mail, spam above all, is often malformed.
 */
export function plainMail(raw: string): PlainMail {
  const { headers, body } = headersAndBody(raw.replaceAll('\r\n', '\n'));
  return {
    senderHost: /@([\w.-]+)/.exec(headers.get('from') ?? '')?.[1]?.toLowerCase() ?? 'none',
    mediaType: /^[\w-]+\/[\w.+-]+/.exec(headers.get('content-type') ?? '')?.[0].toLowerCase() ?? 'text/plain',
    subject: collapse(decodeEncodedWords(headers.get('subject') ?? '')),
    text: collapse(withoutQuotes(readableText(headers, body, 0))),
  };
}

interface Part {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

function headersAndBody(raw: string): Part {
  const end = raw.indexOf('\n\n');
  const head = (end === -1 ? raw : raw.slice(0, end)).replace(/\n[ \t]+/g, ' ');
  const headers = new Map<string, string>();
  for (const line of head.split('\n')) {
    const match = /^([\w-]+):\s*(.*)$/.exec(line);
    if (match !== null) headers.set(match[1].toLowerCase(), match[2]);
  }
  return { headers, body: end === -1 ? '' : raw.slice(end + 2) };
}

const MAX_MIME_DEPTH = 4;

function readableText(headers: ReadonlyMap<string, string>, body: string, depth: number): string {
  const type = (headers.get('content-type') ?? 'text/plain').toLowerCase();
  const boundary = /boundary\s*=\s*"?([^";\n]+)"?/i.exec(headers.get('content-type') ?? '')?.[1]?.trim();
  if (type.startsWith('multipart/') && boundary !== undefined) {
    if (depth === MAX_MIME_DEPTH) return '';
    const parts = body
      .split(`--${boundary}`)
      .slice(1)
      .map((part) => headersAndBody(part.replace(/^[ \t]*\n/, '')));
    return (
      parts.map((part) => readableText(part.headers, part.body, depth + 1)).find((text) => text.trim() !== '') ?? ''
    );
  }
  if (!type.startsWith('text/')) return '';
  const text = decodeTransfer(body, (headers.get('content-transfer-encoding') ?? '').trim().toLowerCase());
  return type.startsWith('text/html') || /<html|<body|<font|<table/i.test(text) ? htmlText(text) : text;
}

function decodeTransfer(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('latin1');
  return encoding === 'quoted-printable' ? decodeQuotedPrintable(body) : body;
}

function decodeQuotedPrintable(text: string): string {
  const joined = text.replace(/=[ \t]*\n/g, '');
  return joined.replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** RFC 2047: `=?iso-8859-1?Q?caf=E9?=`. */
function decodeEncodedWords(text: string): string {
  return text.replace(/=\?[\w-]+\?([QB])\?([^?]*)\?=/gi, (_, kind: string, word: string) =>
    kind.toUpperCase() === 'B'
      ? Buffer.from(word, 'base64').toString('latin1')
      : decodeQuotedPrintable(word.replaceAll('_', ' ')),
  );
}

const ENTITIES: Record<string, string> = { nbsp: ' ', amp: '&', lt: '<', gt: '>', quot: '"', copy: '(c)' };

function htmlText(html: string): string {
  return html
    .replace(/<!--[\s\S]*?-->|<(style|script|title)\b[\s\S]*?<\/\1\s*>/gi, ' ')
    .replace(/<[^>]*>?/g, ' ')
    .replace(/&#(\d{1,5});/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(/&(\w+);/g, (_, name: string) => ENTITIES[name.toLowerCase()] ?? ' ');
}

/** Without the lines that quote another mail, and the "X wrote:" line above them. */
function withoutQuotes(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^\s*(?:[>|]|On .*wrote:\s*$)/.test(line))
    .join('\n');
}

/** Printable characters only, white space collapsed, rules of dashes, stars and the like shortened. */
function collapse(text: string): string {
  return text
    .replace(/[^\x20-\x7e\xa1-\xff]+/g, ' ')
    .replace(/([-=_*#~.+])\1{3,}/g, '$1$1$1')
    .replace(/\s+/g, ' ')
    .trim();
}
