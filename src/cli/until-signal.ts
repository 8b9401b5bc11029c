/** Resolves at the first SIGINT or SIGTERM. A second one ends the process at once. */
export function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
}

/** Long work that can be left in the midst is told to at the first SIGINT or SIGTERM, and so is the person. A second one ends the process at once. */
export function stopOnSignal(message: string): Disposable & { readonly stop: AbortSignal } {
  const controller = new AbortController();
  const stop = (): void => {
    release();
    process.stderr.write(`\n${message}; once more ends at once\n`);
    controller.abort();
  };
  const release = (): void => {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return { stop: controller.signal, [Symbol.dispose]: release };
}
