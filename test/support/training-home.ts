/** What the journeys of `espalier train` begin with: a home with a tiny base, and a file of chats. */
import { after, before } from 'node:test';
import { runJson, TemporaryFolder } from './processes.ts';
import { writeTinyBase } from './tiny-base.ts';
import { writeChats } from './training-files.ts';

export interface TrainingHome {
  /** Removed after the file's last test. */
  readonly folder: TemporaryFolder;
  readonly program: { readonly home: string; readonly threads: number };
  /** The chats. */
  readonly data: string;
}

/** To be called outside of tests: it is ready when the first one begins. The base's name is `tiny`. */
export function trainingHome(chats = { count: 48, words: 24 }): TrainingHome {
  const folder = new TemporaryFolder();
  const program = { home: folder.join('home'), threads: 1 };
  const data = folder.join('train.jsonl');
  before(async () => {
    writeTinyBase(folder.join('tiny'));
    await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], program);
    writeChats(data, { ...chats, seed: 1 });
  });
  after(() => folder[Symbol.dispose]());
  return { folder, program, data };
}
