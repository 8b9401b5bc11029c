import type { ModelProgress } from '../app/index.ts';
import { formatBytes, type Output } from './output.ts';

/** Shows where a base comes from and how far its download is. */
export function modelProgress(output: Output): ModelProgress {
  const bar = output.progress('fetching');
  return (event) => {
    if (event.type === 'source') output.line(`base: ${event.text}`);
    else if (event.type === 'bytes') bar.update(event.received, event.total, `${formatBytes(event.received)} of ${formatBytes(event.total)}`);
    else bar.stop();
  };
}
