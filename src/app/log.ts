import { pino } from 'pino';
import type { Log } from '../base/index.ts';

/** Structured lines on standard error, so that standard output stays the command's own. */
export function serverLog(): Log {
  return pino({ level: 'info', base: null }, pino.destination(2));
}
