import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32c } from './crc32c.ts';
import { EventFile } from './event-file.ts';

test('CRC-32C has the values of RFC 3720, appendix B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test('an event file is what TensorFlow writes for the same scalars', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  using file = new EventFile(folder, 1_700_000_000_000);
  file.add({ step: 300, epochMs: 1_700_000_001_500, values: { 'train/loss': 0.5 } });
  const written = readFileSync(file.path);
  // Frames by hand: Event{wall_time, file_version} and Event{wall_time, step, summary{value{tag, simple_value}}}.
  const version = '0900000040fc54d9411a0d627261696e2e4576656e743a32';
  const scalar = '0900006040fc54d941' + '10ac02' + '2a13' + '0a11' + '0a0a747261696e2f6c6f7373' + '150000003f';
  const frames: Buffer[] = [];
  for (let at = 0; at < written.length;) {
    const length = Number(written.readBigUInt64LE(at));
    frames.push(written.subarray(at + 12, at + 12 + length));
    assert.equal(unmask(written.readUInt32LE(at + 8)), crc32c(written.subarray(at, at + 8)));
    assert.equal(unmask(written.readUInt32LE(at + 12 + length)), crc32c(written.subarray(at + 12, at + 12 + length)));
    at += 16 + length;
  }
  assert.deepEqual(
    frames.map((frame) => frame.toString('hex')),
    [version, scalar],
  );
});

function unmask(crc: number): number {
  const rotated = (crc - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
