import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interleave } from './interleave.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Watched {
  numOpen: number;
  most: number;
  numEnded: number;
}

async function* counted(
  watched: Watched,
  name: number,
  length: number,
  failAt = Infinity,
): AsyncGenerator<string, void, undefined> {
  watched.numOpen++;
  watched.most = Math.max(watched.most, watched.numOpen);
  try {
    for (let n = 0; n < length; n++) {
      await turn();
      if (n === failAt) throw new Error(`source ${name}`);
      yield `${name}:${n}`;
    }
  } finally {
    watched.numOpen--;
    watched.numEnded++;
  }
}

test('everything comes, each source in its order, and no more than the limit at a time', async () => {
  for (const limit of [1, 3, 100]) {
    const watched: Watched = { numOpen: 0, most: 0, numEnded: 0 };
    const sources = Array.from({ length: 10 }, (_, name) => counted(watched, name, name + 1));
    const seen: string[] = [];
    for await (const item of interleave(sources, limit)) seen.push(item);
    assert.equal(seen.length, 55);
    for (let name = 0; name < 10; name++) {
      const mine = seen.filter((item) => item.startsWith(`${name}:`));
      assert.deepEqual(
        mine,
        Array.from({ length: name + 1 }, (_, n) => `${name}:${n}`),
      );
    }
    assert.equal(watched.most, Math.min(limit, 10));
    if (limit === 1) assert.deepEqual(seen, seen.toSorted());
    assert.equal(watched.numOpen, 0);
  }
});

test('one that fails, and a reader that leaves, end all that have begun, and the others never begin', async () => {
  for (const failAt of [1, Infinity]) {
    const watched: Watched = { numOpen: 0, most: 0, numEnded: 0 };
    const sources = Array.from({ length: 6 }, (_, name) => counted(watched, name, 5, name === 1 ? failAt : Infinity));
    const read = async (): Promise<void> => {
      let numSeen = 0;
      for await (const _ of interleave(sources, 3)) if (++numSeen === 4 && failAt === Infinity) return;
    };
    if (failAt === Infinity) await read();
    else await assert.rejects(read(), /source 1/);
    assert.equal(watched.numOpen, 0);
    assert.equal(watched.numEnded, 3);
    for (const source of sources) assert.equal((await source.next()).done, true);
  }
});
