import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identify } from './crawlers.ts';
import { plainMail } from './mail.ts';

test('a plain mail: folded subject, text without quotes, white space collapsed', () => {
  const mail = plainMail(
    'From: a@example.org\r\nSubject: Lunch\r\n on Friday\r\n\r\nOn Monday, Bo wrote:\r\n> see you\r\nFine,   see you\r\nthere =====\r\n',
  );
  assert.deepEqual(mail, {
    senderHost: 'example.org',
    mediaType: 'text/plain',
    subject: 'Lunch on Friday',
    text: 'Fine, see you there ===',
  });
});

test('the first readable part of a multipart mail, its transfer encoding undone', () => {
  const body = Buffer.from('Buy now').toString('base64');
  const mail = plainMail(
    `Subject: =?iso-8859-1?Q?caf=E9_?= =?utf-8?B?${Buffer.from('open').toString('base64')}?=\n` +
      'Content-Type: multipart/mixed; boundary="xx"\n\npreamble\n--xx\nContent-Type: image/gif\n\nGIF\n' +
      `--xx\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n${body}\n--xx--\n`,
  );
  assert.deepEqual(mail, { senderHost: 'none', mediaType: 'multipart/mixed', subject: 'café open', text: 'Buy now' });
});

test('HTML gives its text: tags, comments, styles and entities are gone', () => {
  const mail = plainMail(
    'Subject: x\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<html><style>p{}</style>' +
      '<!-- hidden --><p class=3D"a">Hot &amp; new&nbsp;off=\ners&#33;</p></html>\n',
  );
  assert.equal(mail.text, 'Hot & new offers!');
});

test('malformed mail gives what there is', () => {
  const nothing = { senderHost: 'none', mediaType: 'text/plain', subject: '', text: '' };
  assert.deepEqual(plainMail(''), nothing);
  assert.deepEqual(plainMail('Subject: only'), { ...nothing, subject: 'only' });
  assert.equal(plainMail('Content-Type: multipart/mixed; boundary=zz\n\nno part here').text, '');
  const nested = (depth: number): string =>
    depth === 0
      ? 'Content-Type: text/plain\n\ndeep'
      : `Content-Type: multipart/a; boundary=b${depth}\n\n--b${depth}\n${nested(depth - 1)}\n`;
  assert.equal(plainMail(nested(3)).text, 'deep');
  assert.equal(plainMail(nested(9)).text, '', 'depth is limited');
});

test('a crawler is read from its user agent', () => {
  const cases: readonly [userAgent: string, pattern: string, expected: ReturnType<typeof identify>][] = [
    [
      'Mozilla/5.0 (compatible; AcmeBot/2.1; +https://bots.acme.example/about)',
      'AcmeBot\\/',
      { bot: 'AcmeBot', version: '2.1', contact: 'bots.acme.example' },
    ],
    ['acme-crawler/v3.0.', 'crawler', { bot: 'acme-crawler', version: '3.0', contact: null }],
    [
      'Acme Link Check (me@acme.example)',
      'Acme Link Check',
      { bot: 'Acme Link Check', version: null, contact: 'me@acme.example' },
    ],
    ['AcmeBot', 'AcmeBot', undefined],
    ['Mozilla/5.0 (X11) AppleWebKit/1.0 https://acme.example/bot', 'acme\\.example\\/bot', undefined],
    ['AcmeBot/beta http://acme.example', 'AcmeBot', undefined],
    ['OtherBot/1.0', 'AcmeBot', undefined],
  ];
  for (const [userAgent, pattern, expected] of cases)
    assert.deepEqual(identify(userAgent, pattern), expected, userAgent);
});
