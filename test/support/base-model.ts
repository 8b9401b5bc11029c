import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runJson } from './processes.ts';

const SMOL_BASE = 'smollm2-135m-instruct';

/** Where tests keep the real base, so that it is fetched once: ESPALIER_TEST_HOME, or a folder under the system's temporary one. */
function testHome(): string {
  return process.env['ESPALIER_TEST_HOME'] || join(tmpdir(), 'espalier-test-home');
}

export interface SmolBase {
  readonly home: string;
  readonly name: string;
  /** The GGUF file. */
  readonly path: string;
}

/** Makes sure that the real base is on this machine, by the command that a user would run. Many test files may ask at once. */
export async function smolBase(): Promise<SmolBase> {
  const home = testHome();
  interface Manifest {
    readonly files: readonly { readonly path: string }[];
  }
  const { files } = await runJson<Manifest>(['models', 'pull', SMOL_BASE], { home });
  return { home, name: SMOL_BASE, path: join(home, 'models', SMOL_BASE, files[0].path) };
}
