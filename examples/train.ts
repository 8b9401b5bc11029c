/**
 * Trains an adapter in this program, scores it against the base, asks it, and publishes it: the library without a server.
 *
 *   node train.ts [base] [steps]
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  evaluateFile,
  generateText,
  listAdapters,
  readConfig,
  trainAdapter,
  TRAIN_DEFAULTS,
  type TrainOptions,
} from 'espalier';

const base = process.argv[2] ?? 'smollm2-135m-instruct';
const maxSteps = Number(process.argv[3] ?? 30);
// ESPALIER_HOME, or ~/.espalier: where bases and published adapters are.
const config = readConfig();
const folder = mkdtempSync(join(tmpdir(), 'espalier-example-'));

/** Tickets and the team that they belong to, one JSON object a line. */
const TEAMS = { card: 'payments', parcel: 'shipping', password: 'accounts' };
const lines = Object.entries(TEAMS).flatMap(([thing, team]) =>
  ['lost', 'late', 'broken', 'blocked'].map((problem) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `My ${thing} is ${problem}.` },
        { role: 'assistant', content: team },
      ],
    }),
  ),
);
const data = join(folder, 'tickets.jsonl');
writeFileSync(data, `${lines.join('\n')}\n`);

const options: TrainOptions = {
  ...TRAIN_DEFAULTS,
  base,
  data,
  validShare: 0,
  rank: 8,
  learningRate: 2e-3,
  maxSteps,
  batchTokens: 256,
  samples: 0,
  output: join(folder, 'adapter'),
  publish: 'acme/triage',
};
const outcome = await trainAdapter(config, options, {
  onStep: ({ report: { step, loss } }) => step % 10 === 0 && console.log(`step ${step}: loss ${loss.toFixed(3)}`),
});
console.log(`published ${outcome.adapter}: ${outcome.trainableParameters} of ${outcome.totalParameters} parameters`);

for (const adapter of [undefined, outcome.output]) {
  const { value } = await evaluateFile(config, { base, adapter, data, metric: 'accuracy', maxTokens: 8 });
  console.log(`${adapter === undefined ? 'the base' : 'the adapter'}: ${(100 * value).toFixed(0)} % right`);
}
const messages = [{ role: 'user' as const, content: 'My card is blocked.' }];
const sampling = { maxTokens: 8, temperature: 0, topP: 1, seed: 0 };
// A folder or a name of the registry, as one likes.
const { text } = await generateText(config, { base, adapter: 'acme/triage', messages, ...sampling });
console.log(`My card is blocked. -> ${text}`);
const versions = await listAdapters(config, 'acme', {});
console.log(versions.map(({ task, version, digest }) => `acme/${task}@${version} ${digest}`).join('\n'));
