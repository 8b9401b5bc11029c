/**
 * What nine tenants keep of their service when a tenth sends fifty times as much, and how long anybody waits: the engine's scheduler on the
 * simulated clock of `test/support/serving-simulation.ts`. The figures are the same on every machine.
 *
 *   node bench/fairness.ts [--flood=50] [--loads=0.6,0.95,1.5] [--json]
 */
import { parseArgs } from 'node:util';
import { longest, simulate, SIMULATED, tenTenants, withoutFlood } from '../test/support/serving-simulation.ts';

const { values } = parseArgs({
  options: {
    flood: { type: 'string', default: '50' },
    loads: { type: 'string', default: '0.6,0.95,1.5' },
    json: { type: 'boolean', default: false },
  },
});

const rows = values.loads.split(',').map((text) => {
  const load = Number(text);
  const equal = withoutFlood(simulate(tenTenants(1, load), SIMULATED));
  const services = simulate(tenTenants(Number(values.flood), load), SIMULATED);
  const nine = withoutFlood(services);
  const kept = nine.map(({ tokens }, n) => tokens / equal[n].tokens);
  const flood = services.get('flood');
  return {
    load,
    leastKept: Math.min(...kept),
    meanKept: kept.reduce((sum, share) => sum + share, 0) / kept.length,
    longestWaitOfNineMs: longest(nine.flatMap(({ waitsMs }) => waitsMs)),
    longestWaitMs: longest([...services.values()].flatMap(({ waitsMs }) => waitsMs)),
    floodSent: flood?.numSent ?? 0,
    floodAnswered: flood?.numFinished ?? 0,
  };
});

if (values.json) {
  console.log(JSON.stringify(rows));
} else {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  console.log('| load | kept, least | kept, mean | longest wait of the nine | of anybody | flood: sent | answered |');
  console.log('| ---- | ----------- | ---------- | ------------------------ | ---------- | ----------- | -------- |');
  for (const row of rows) {
    const waits = [row.longestWaitOfNineMs, row.longestWaitMs].map((ms) => `${ms.toFixed(0)} ms`);
    const cells = [row.load, percent(row.leastKept), percent(row.meanKept), ...waits, row.floodSent, row.floodAnswered];
    console.log(`| ${cells.join(' | ')} |`);
  }
}
