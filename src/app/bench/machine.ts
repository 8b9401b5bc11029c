import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, type Log } from '../../base/index.ts';
import { readJsonFile } from '../../formats/index.ts';
import { parseMachine, type MachineFigures } from '../../planning/index.ts';

/** Where `espalier bench train --calibrate` leaves what it has measured. */
export function machinePath(home: string): string {
  return join(home, 'machine.json');
}

/** @returns undefined when this machine was not measured @throws CONFIG_INVALID */
export function readMachine(home: string): MachineFigures | undefined {
  const path = machinePath(home);
  return existsSync(path) ? parseMachine(readJsonFile(path), path) : undefined;
}

/** The same for estimates, which are made without figures that cannot be read: the log says so. */
export function machineForEstimates(home: string, log: Log): MachineFigures | undefined {
  try {
    return readMachine(home);
  } catch (error) {
    log.warn({ error: errorMessage(error) }, 'the figures of this machine cannot be read');
    return undefined;
  }
}
