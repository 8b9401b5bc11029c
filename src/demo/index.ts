/**
 * demo: the two tasks of `npm start`, cut from real data that comes with npm packages.
 * Owns: which examples are learned and which are held out.
 * May import: base.   Called by: app.
 * Runs on: the main thread.
 * Throws: FILE_NOT_FOUND.
 */
import { loadCrawlerTask } from './crawlers.ts';
import { loadSpamTask } from './spam.ts';
import type { DemoTask } from './task.ts';

export { loadCrawlerTask, loadSpamTask };
export type { ChatExample, ChatMessage, DataSource, DemoTask } from './task.ts';

/** The demo's tenants, in the order in which they are trained. */
export function loadDemoTasks(): Promise<DemoTask[]> {
  return Promise.all([loadSpamTask(), loadCrawlerTask()]);
}
