/**
 * What would an adapter cost? Parameters, memory and storage before anything is trained.
 *
 *   node plan.ts [model]
 */
import { makePlan, renderPlan } from 'espalier';

const model = process.argv[2] ?? '8b';
const plan = makePlan({ model, method: 'lora', rank: 16, adapters: 1000 });
console.log(renderPlan(plan));

// The same as numbers: what a thousand adapters of rank 4 to 64 take on the disk.
for (const rank of [4, 16, 64]) {
  const { trainable } = makePlan({ model, method: 'lora', rank });
  const gigabytes = (1000 * trainable.parameters * 4) / 1e9;
  console.log(`rank ${rank}: ${trainable.parameters} parameters each, ${gigabytes.toFixed(1)} GB for a thousand`);
}
