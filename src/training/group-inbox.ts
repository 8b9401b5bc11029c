import type { ReadRun } from './joining-runs.ts';
import type { ToGroup } from './messages.ts';

/** What a group hears: of its parent, and of the threads that read for it. */
export type GroupMessage = ToGroup | ({ readonly type: 'read' } & ReadRun);

/** Messages that came while a pass ran; they are read between passes. */
export class GroupInbox {
  #messages: GroupMessage[] = [];
  #wake: (() => void) | undefined;

  put(message: GroupMessage): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  take(): GroupMessage[] {
    const messages = this.#messages;
    this.#messages = [];
    return messages;
  }

  /** Settles when there is a message. */
  async wait(): Promise<void> {
    if (this.#messages.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
  }
}
