import type { ModelProgress } from '../app/index.ts';
import { formatBytes, type Output } from './output.ts';

/** Shows where a base comes from and how far its download is. */
export function modelProgress(output: Output): ModelProgress {
  const bar = output.progress('fetching');
  return (event) => {
    switch (event.type) {
      case 'trying':
        output.line(`base: trying ${event.source}`);
        return;
      case 'failed':
        bar.stop();
        output.line(`base: not from ${event.source}: ${event.reason}`);
        return;
      case 'progress':
        bar.update(
          event.receivedBytes,
          event.totalBytes ?? event.receivedBytes,
          `${event.file} ${formatBytes(event.receivedBytes)}`,
        );
        return;
      case 'done':
        bar.stop();
        output.line(`base: from ${event.source}`);
        return;
      default:
        event satisfies never;
    }
  };
}
