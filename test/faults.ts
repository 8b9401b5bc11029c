/**
 * `npm run faults -- --kills=100 --seed=1`: kill -9 of server, trainers, engine and publishers at random moments of a mixed load, and a check of
 * everything that clients were told. Prints the figures; the exit code is 0 only when nothing was lost, done twice or damaged.
 */
import { parseArgs } from 'node:util';
import { checkMixedLoad, describeLoad } from './support/mixed-load-check.ts';
import { MixedLoad } from './support/mixed-load.ts';
import { TemporaryFolder } from './support/processes.ts';

const MAX_KILLS = 1000;
const MAX_LIFE_MS = 2000;

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } },
});
const [numKills, seed] = [Number(values.kills), Number(values.seed)];
if (!Number.isInteger(numKills) || numKills < 1 || numKills > MAX_KILLS || !Number.isSafeInteger(seed)) {
  throw new Error(`--kills is a whole number from 1 to ${MAX_KILLS}, --seed any: got ${values.kills}, ${values.seed}`);
}
using folder = new TemporaryFolder();
const load = new MixedLoad(folder, seed);
const begunMs = performance.now();
try {
  await load.prepare();
  await load.run(numKills, MAX_LIFE_MS, (numDone) => console.error(`${numDone} of ${numKills}`));
  console.log(describeLoad(load));
  await checkMixedLoad(load);
  console.log(
    `checked: nothing lost, nothing done twice, no file damaged; ${Math.round((performance.now() - begunMs) / 1000)} s`,
  );
} finally {
  await load.close();
}
