const encoder = new TextEncoder();

/** One server-sent event. JSON has no line breaks of its own, so one `data:` line holds it. */
export function dataFrame(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** OpenAI's end of a stream that went well. A stream that failed has none. */
export const DONE_FRAME = 'data: [DONE]\n\n';

/**
 * A response whose body is made as fast as the client reads it, and no faster: the next frame is asked for only when the one
 * before has been taken.
 * @param frames must not throw
 * @param leave called when the client goes before the end; `frames` must end soon after
 * @param end called once, when no more frames will be asked for; must not throw
 */
export function eventStreamResponse(
  frames: AsyncGenerator<string, void, undefined>,
  headers: Readonly<Record<string, string>>,
  { leave, end }: { readonly leave: () => void; readonly end: () => Promise<void> },
): Response {
  let ended: Promise<void> | undefined;
  // A client can leave while the end is being made.
  const endOnce = (): Promise<void> => (ended ??= end());
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // A stream that has been cancelled meanwhile ignores what comes of it.
        const frame = await frames.next();
        if (!frame.done) return controller.enqueue(encoder.encode(frame.value));
        await endOnce();
        controller.close();
      },
      async cancel() {
        leave();
        await frames.return();
        await endOnce();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache',
      // Asks proxies not to gather frames.
      'X-Accel-Buffering': 'no',
      ...headers,
    },
  });
}
