import type { ModelProgress } from '../app/index.ts';
import { formatBytes, type Output } from './output.ts';
import { Pace } from './pace.ts';

/** Shows where a base comes from and how far its download is. */
export function modelProgress(output: Output): ModelProgress {
  const bar = output.progress('fetching');
  // Each file has its own.
  const paces = new Map<string, Pace>();
  const paceOf = (file: string): Pace => {
    const pace = paces.get(file) ?? new Pace();
    paces.set(file, pace);
    return pace;
  };
  return (event) => {
    switch (event.type) {
      case 'trying':
        output.line(`base: trying ${event.source}`);
        return;
      case 'failed':
        bar.stop();
        output.line(`base: not from ${event.source}: ${event.reason}`);
        return;
      case 'progress': {
        const { file, receivedBytes, totalBytes } = event;
        const now = `${file} ${formatBytes(receivedBytes)}`;
        const speed = totalBytes === null ? '' : paceOf(file).note(receivedBytes, totalBytes, formatBytes);
        bar.update(receivedBytes, totalBytes ?? receivedBytes, speed === '' ? now : `${now}, ${speed}`);
        return;
      }
      case 'done':
        bar.stop();
        output.line(`base: from ${event.source}`);
        return;
      default:
        event satisfies never;
    }
  };
}
