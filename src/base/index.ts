/**
 * base: what every room needs and what needs no room: errors, ids, time, randomness, leases, turns, scalar types.
 * Owns: the error table.
 * May import: nothing.   Called by: everybody.
 * Runs on: any thread.
 * Throws: INTERNAL DISK_FULL.
 */
export * from './errors.ts';
export * from './remote-error.ts';
export * from './clock.ts';
export * from './rng.ts';
export * from './ids.ts';
export * from './dtype.ts';
export * from './lease.ts';
export * from './turn-queue.ts';
export * from './log.ts';
export * from './atomic-file.ts';
export * from './nf4.ts';
