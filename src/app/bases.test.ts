import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { canComputeIn } from '../numeric/index.ts';
import { computeDtypeFor, openedIn } from './bases.ts';
import { readConfig, type Compute } from './config.ts';

const withCompute = (compute?: Compute) => ({ ...readConfig({}), compute });

test('the variable ESPALIER_COMPUTE is read, and a word that is none is refused', () => {
  assert.equal(readConfig({}).compute, undefined);
  assert.equal(readConfig({ ESPALIER_COMPUTE: 'f32' }).compute, 'f32');
  assert.throws(() => readConfig({ ESPALIER_COMPUTE: 'fp16' }), /one of auto, f32, bf16, int8, got "fp16"/);
});

test('float32 weights are never rounded, and f32 means f32', () => {
  for (const compute of ['auto', 'f32', undefined] as const) {
    assert.equal(computeDtypeFor(withCompute(compute), 'f32', 'training'), 'f32');
  }
  for (const format of ['bf16', 'int8', 'nf4'] as const) {
    assert.equal(computeDtypeFor(withCompute('f32'), format, 'training'), 'f32');
  }
});

test(
  'auto computes in bf16 where the processor can and the weights are no more exact',
  { skip: !canComputeIn('bf16') },
  () => {
    assert.equal(computeDtypeFor(withCompute(), 'bf16', 'inference'), 'bf16');
    assert.equal(computeDtypeFor(withCompute('auto'), 'nf4', 'training'), 'bf16');
    assert.equal(computeDtypeFor(withCompute('auto'), 'nf4', 'inference'), 'f32');
    assert.equal(computeDtypeFor(withCompute('bf16'), 'nf4', 'inference'), 'bf16');
    assert.equal(computeDtypeFor(withCompute('bf16'), 'f32', 'inference'), 'f32');
  },
);

test(
  'int8 is for answers with int8 weights and for training, where it is asked',
  { skip: !canComputeIn('int8') },
  () => {
    assert.equal(computeDtypeFor(withCompute('int8'), 'int8', 'inference'), 'int8');
    for (const format of ['bf16', 'int8', 'nf4'] as const) {
      assert.equal(computeDtypeFor(withCompute('int8'), format, 'training'), 'int8');
      for (const use of ['training', 'inference'] as const) {
        assert.notEqual(computeDtypeFor(withCompute('auto'), format, use), 'int8');
        if (format !== 'int8') assert.notEqual(computeDtypeFor(withCompute('int8'), format, 'inference'), 'int8');
        assert.equal(computeDtypeFor(withCompute('int8'), 'f32', use), 'f32');
      }
    }
    assert.equal(computeDtypeFor(withCompute('f32'), 'int8', 'inference'), 'f32');
  },
);

test('on an instruction set without such products, auto is f32, and bf16 and int8 are refused', () => {
  const script = `
    import { computeDtypeFor, openedIn } from ${JSON.stringify(join(import.meta.dirname, 'bases.ts'))};
    console.log(computeDtypeFor({ compute: 'auto' }, 'bf16', 'training'));
    console.log(computeDtypeFor({ compute: 'auto' }, 'int8', 'inference'));
    for (const compute of ['bf16', 'int8']) {
      try { computeDtypeFor({ compute }, 'bf16', 'training'); } catch (error) { console.log(error.code, error.message); }
    }`;
  const env = { ...process.env, ESPALIER_ISA: 'portable' };
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
  assert.match(
    said,
    /^f32\nf32\nCONFIG_INVALID this processor has no products in bf16: .*\nCONFIG_INVALID .* in int8: compute in f32/,
  );
});

test('a base that is opened in another format computes as that format does', () => {
  const open = { name: 'x', path: 'x', format: 'bf16', computeDtype: 'bf16', packedDirectory: 'x' } as const;
  const base = { name: 'x', digest: 'sha256:1', repository: 'x', open } as const;
  const exact = openedIn(withCompute(), base, 'f32', 'training');
  assert.deepEqual([exact.format, exact.computeDtype], ['f32', 'f32']);
  const dtypes = (['inference', 'training'] as const).map(
    (use) => openedIn(withCompute(), base, 'nf4', use).computeDtype,
  );
  assert.deepEqual(dtypes, ['f32', canComputeIn('bf16') ? 'bf16' : 'f32']);
});
