/** A training run on a file system that is really full. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainOutcome } from '../../src/app/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { onlyDocument, run, type ProgramOptions } from './processes.ts';

const CHECKPOINT = 'checkpoint.safetensors';
const DISK_BYTES = 8 * 2 ** 20;
/** In a checkpoint before the first evaluation: the value and two moments, each a float32. */
const BYTES_A_PARAMETER = 12;

export interface FullDiskOptions {
  readonly program: ProgramOptions;
  /** Of `espalier train`, without --output and --resume. */
  readonly args: readonly string[];
}

/**
 * Fills a small tmpfs but for room for one checkpoint, so that the second, which is written beside the first, does not fit; then makes room
 * and lets the run go on.
 * @param folder where the tmpfs is mounted; only root can
 * @returns what was not as it should be
 */
export async function fullDiskFaults(folder: string, { program, args }: FullDiskOptions): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder]);
  const problems: string[] = [];
  const expect = (isTrue: boolean, otherwise: string): void => void (isTrue || problems.push(otherwise));
  try {
    const ballast = join(folder, 'ballast');
    const output = join(folder, 'full');
    const train = (to: string, ...more: string[]) =>
      run(['train', ...args, '--output', to, ...more, '--json'], program);
    const first = await train(`${folder}-with-room`);
    if (first.code !== 0) throw new Error(`the run with room failed: ${first.stderr}`);
    const whole = onlyDocument<TrainOutcome>(first.stdout);
    // Room for a checkpoint and a half: the second is written whole before it takes the first one's name.
    const checkpointBytes = whole.trainableParameters * BYTES_A_PARAMETER;
    writeFileSync(ballast, Buffer.alloc(DISK_BYTES - Math.round(1.5 * checkpointBytes)));
    const failed = await train(output);
    expect(
      failed.code === 1 && /"code":"DISK_FULL"/.test(failed.stdout),
      `not DISK_FULL: ${failed.stdout}${failed.stderr}`,
    );
    const left = readdirSync(output).filter((name) => name.includes('checkpoint'));
    expect(left.join() === CHECKPOINT, `left beside the checkpoint: ${left.join(', ')}`);
    using checkpoint = openSafetensors(join(output, CHECKPOINT));
    const names = [...checkpoint.tensors.keys()];
    expect(
      names.length > 0 && names.every((name) => checkpoint.readFloats(name).every(Number.isFinite)),
      'the last checkpoint is not whole',
    );
    rmSync(ballast);
    const resumed = await train(output, '--resume');
    expect(resumed.code === 0, `the run did not go on: ${resumed.stderr}`);
    if (resumed.code === 0) {
      const { adapterDigest } = onlyDocument<TrainOutcome>(resumed.stdout);
      expect(adapterDigest === whole.adapterDigest, 'the run that went on has other bytes');
    }
  } finally {
    execFileSync('umount', [folder]);
  }
  return problems;
}
