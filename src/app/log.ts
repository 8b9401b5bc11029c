import { pino } from 'pino';
import type { Log } from '../base/index.ts';

/** Structured lines on standard error, so that standard output stays the command's own. */
export function serverLog(level: 'info' | 'warn' = 'info'): Log {
  return pino({ level, base: null }, pino.destination(2));
}
