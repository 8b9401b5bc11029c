import { assert } from '../base/index.ts';
import { firstOfEachGroup, mapSplit, splitBalanced, wordsOf } from './split.ts';
import type { SplitSizes } from './split.ts';
import { chatExample, notInstalled, questionOf } from './task.ts';
import type { DemoTask } from './task.ts';

const SOURCE = { package: 'crawler-user-agents', version: '1.60.0', licence: 'MIT' } as const;
const SYSTEM = 'Give the bot, its version and its contact as JSON.';
const MAX_USER_AGENT_CHARS = 110;

const CRAWLER_SIZES: SplitSizes = { train: 200, valid: 20, test: 150 };

/** What a crawler says of itself in its user agent. */
export interface CrawlerIdentity {
  readonly bot: string;
  readonly version: string | null;
  /** The host of the first URL, else a mail address. */
  readonly contact: string | null;
}

/**
 * The tenant that reads access logs: a crawler's user agent to JSON with its name, version and contact. The user agents
 * and the patterns that say which words are the crawler's name are the curated list of `crawler-user-agents`; version
 * and contact are read from the text beside them. No crawler is in two parts, so what is tested is reading names that
 * were never seen.
 *
 * @throws FILE_NOT_FOUND when the package with the list is not installed.
 */
export async function loadCrawlerTask(sizes: SplitSizes = CRAWLER_SIZES): Promise<DemoTask> {
  const { default: crawlers } = await import('crawler-user-agents').catch((cause: unknown) =>
    notInstalled(SOURCE, cause),
  );
  const known = crawlers.flatMap(({ pattern, instances }) =>
    instances.flatMap((userAgent) => {
      const identity = userAgent.length <= MAX_USER_AGENT_CHARS ? identify(userAgent, pattern) : undefined;
      return identity === undefined ? [] : [{ userAgent, identity, pattern }];
    }),
  );
  const distinct = firstOfEachGroup(known, ({ userAgent, identity, pattern }) => [
    `pattern ${pattern}`,
    `name ${wordsOf(identity.bot).join('')}`,
    `contact ${siteOf(identity.contact) ?? pattern}`,
    `text ${wordsOf(userAgent).join(' ')}`,
  ]);
  const parts = splitBalanced(distinct, () => 'crawler', sizes, 1);
  const examples = mapSplit(parts, ({ userAgent, identity }) =>
    chatExample(SYSTEM, userAgent, JSON.stringify(identity)),
  );
  const asked = examples.test[0];
  assert(asked !== undefined, 'the test part holds crawlers');
  return {
    tenant: 'weblogs',
    task: 'crawlers',
    description: 'real user agents of crawlers: name, version and contact as JSON',
    ...examples,
    metric: 'exact-match',
    question: questionOf(asked),
    source: SOURCE,
  };
}

/**
 * Reads a user agent whose crawler is named by `pattern`. Undefined where the name has no clear end, or where the user
 * agent is the bare name and there is nothing to read.
 */
export function identify(userAgent: string, pattern: string): CrawlerIdentity | undefined {
  const match = new RegExp(pattern).exec(userAgent);
  if (match === null) return undefined;
  // The pattern may be a part of the name: widen it to the whole word.
  const before = /[\w.!'-]*$/.exec(userAgent.slice(0, match.index))?.[0] ?? '';
  const matched = match[0].replace(/[/;)(\s]+$/, '');
  const start = match.index - before.length;
  const after = /^[\w.!'-]*/.exec(userAgent.slice(match.index + matched.length))?.[0] ?? '';
  const bot = userAgent.slice(start, match.index + matched.length + after.length);
  const rest = userAgent.slice(start + bot.length);
  if (!/^[A-Za-z][\w .!'-]*$/.test(bot) || !/(?:^|[;(,] ?|\) )$/.test(userAgent.slice(0, start))) return undefined;
  if (!/^(?:\/[\w.]|[;,)]| \(|$)/.test(rest)) return undefined;
  const version = /^\/v?(\d(?:[\w.-]*\w)?)/.exec(rest)?.[1] ?? null;
  if (version === null && rest.startsWith('/')) return undefined;
  const contact = contactIn(userAgent);
  return version === null && contact === null ? undefined : { bot, version, contact };
}

function contactIn(userAgent: string): string | null {
  const host = /https?:\/\/([\w-]+(?:\.[\w-]+)+)/i.exec(userAgent)?.[1];
  return host ?? /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/.exec(userAgent)?.[0] ?? null;
}

/** The last two labels of a host or of a mail's domain: crawlers of one company are one group. */
function siteOf(contact: string | null): string | undefined {
  return contact?.split('@').at(-1)?.toLowerCase().split('.').slice(-2).join('.');
}
