/**
 * Which eviction policy hits most: the three of `serving/residency/eviction-policy.ts` on the traffic of `test/support/eviction-simulation.ts`, at several sizes of
 * memory. A simulation of the tier's own code with requests in flight, not a measurement: the same figures everywhere.
 *
 *   node bench/eviction.ts [--json]
 */
import { POLICY_NAMES } from '../src/serving/residency/eviction-policy.ts';
import { simulate, TRAFFIC } from '../test/support/eviction-simulation.ts';

const BUDGET_PARTS = [0.05, 0.25, 0.5];
const OPTIONS = { numAdapters: 1_000, numRequests: 200_000, seed: 7 };

const rows = Object.entries(TRAFFIC).flatMap(([name, traffic]) =>
  BUDGET_PARTS.map((budgetPart) => ({
    traffic: name,
    budgetPart,
    hitRates: Object.fromEntries(
      POLICY_NAMES.map((policy) => [policy, simulate(policy, traffic, { ...OPTIONS, budgetPart }).hitRate]),
    ),
  })),
);

if (process.argv.includes('--json')) {
  process.stdout.write(`${JSON.stringify(rows)}\n`);
} else {
  const percent = (part: number): string => `${(100 * part).toFixed(1)} %`.padStart(8);
  process.stdout.write(`${'traffic'.padEnd(18)} memory ${POLICY_NAMES.map((name) => name.padStart(8)).join(' ')}\n`);
  for (const { traffic, budgetPart, hitRates } of rows) {
    const cells = POLICY_NAMES.map((name) => percent(hitRates[name])).join(' ');
    process.stdout.write(`${traffic.padEnd(18)} ${percent(budgetPart).trim().padStart(6)} ${cells}\n`);
  }
}
