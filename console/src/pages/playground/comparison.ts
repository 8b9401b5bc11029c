import { useCallback, useEffect, useRef, useState } from 'react';
import type { ChatMessage, ChatProgress } from '../../api/chat-stream.ts';
import { streamChat, type ChatOptions } from '../../api/chat-stream.ts';
import type { ApiClient } from '../../api/client.ts';
import { classify, isForClassifier } from '../../api/labels.ts';
import { useSession } from '../../session/session.tsx';
import type { Subject } from './subject.ts';

/** What every column is asked with. */
export interface Settings {
  readonly system: string;
  readonly temperature: number;
  readonly maxTokens: number;
}

export interface Turn {
  readonly question: string;
  /** Its answer may be scored. */
  readonly isScored: boolean;
  readonly answer: ChatProgress | null;
  readonly error: string | null;
  readonly isRunning: boolean;
  readonly firstTokenMs: number | null;
  readonly tookMs: number | null;
}

/** The turns of each column, by its number. */
type Turns = readonly (readonly Turn[])[];

/** The base and up to three adapters, asked the same at once; each goes on with what it has said itself. */
export function useComparison(subjects: readonly Subject[]) {
  const { api } = useSession();
  const [turns, setTurns] = useState<Turns>([]);
  const running = useRef<AbortController | null>(null);
  const sessionId = useRef(newSessionId());
  useEffect(() => () => running.current?.abort(), []);

  const change = useCallback((column: number, changed: (turn: Turn) => Turn): void => {
    setTurns((before) =>
      before.map((own, n) => (n === column ? [...own.slice(0, -1), changed(own[own.length - 1])] : own)),
    );
  }, []);

  const ask = useCallback(
    async (question: string, settings: Settings): Promise<void> => {
      running.current?.abort();
      const abort = new AbortController();
      running.current = abort;
      const before = subjects.map((_, column) => turns[column] ?? []);
      const fresh = { question, answer: null, error: null, isRunning: true, firstTokenMs: null, tookMs: null };
      setTurns(before.map((own, column) => [...own, { ...fresh, isScored: subjects[column]?.isScored === true }]));
      await Promise.all(
        subjects.map(async ({ model, task, classes }, column) => {
          const begun = performance.now();
          const passed = (): number => performance.now() - begun;
          try {
            const messages = messagesOf(settings.system, before[column], question);
            const asked = { ...settings, model, task, sessionId: sessionId.current, messages };
            for await (const answer of answersOf(api, { ...asked, classes, question }, abort.signal)) {
              change(column, (turn) => ({
                ...turn,
                answer,
                firstTokenMs: turn.firstTokenMs ?? (answer.text === '' ? null : passed()),
              }));
            }
          } catch (error) {
            if (!abort.signal.aborted) change(column, (turn) => ({ ...turn, error: messageOf(error) }));
          } finally {
            change(column, (turn) => ({ ...turn, isRunning: false, tookMs: passed() }));
          }
        }),
      );
    },
    [api, subjects, turns, change],
  );

  const stop = useCallback(() => running.current?.abort(), []);
  const clear = useCallback(() => {
    running.current?.abort();
    setTurns([]);
    sessionId.current = newSessionId();
  }, []);
  /** A column that is taken away takes its turns with it. */
  const drop = useCallback((column: number) => setTurns((before) => before.filter((_, n) => n !== column)), []);
  const isRunning = turns.some((own) => own.at(-1)?.isRunning === true);
  return { turns, isRunning, ask, stop, clear, drop };
}

/** What a chat answers, word by word; of a model that gives labels, the question's. */
async function* answersOf(
  api: ApiClient,
  asked: ChatOptions & { readonly classes: Subject['classes']; readonly question: string; readonly system: string },
  signal: AbortSignal,
): AsyncGenerator<ChatProgress> {
  const { classes, question, system } = asked;
  const toLabel = classes?.reads === 'messages' ? { messages: messagesOf(system, [], question) } : { input: question };
  if (classes) return yield await classify(api, asked, toLabel, signal);
  try {
    yield* streamChat(api, asked, signal);
  } catch (error) {
    if (!isForClassifier(error)) throw error;
    yield await classify(api, asked, toLabel, signal);
  }
}

/** A conversation stays with one version of a split task; the next may come to another. */
function newSessionId(): string {
  return `console-${[...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function messagesOf(system: string, turns: readonly Turn[], question: string): ChatMessage[] {
  const said = turns.flatMap(({ question: asked, answer }): ChatMessage[] =>
    answer === null
      ? []
      : [
          { role: 'user', content: asked },
          { role: 'assistant', content: answer.text },
        ],
  );
  return [
    ...(system.trim() === '' ? [] : [{ role: 'system' as const, content: system }]),
    ...said,
    { role: 'user', content: question },
  ];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
