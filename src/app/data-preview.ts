import { weightSpans, type ChatRenderer } from '../text/index.ts';
import type { LoadedExamples, TokenExample } from '../training/index.ts';

/** A piece of an example as the model will see it. */
export interface PreviewSpan {
  readonly text: string;
  /** 0: given, not learned. */
  readonly weight: number;
}

/** An example, sequence by sequence: of a pair, the prompt with the chosen answer, then with the rejected one; of a labelled text its label last. */
export interface PreviewedExample {
  readonly line: number;
  readonly spans: readonly PreviewSpan[];
}

export interface DescribedExamples {
  readonly examples: number;
  readonly tokens: number;
  readonly learnedTokens: number;
  /** Tokens of an example: the middle one, the 95th of 100, the longest. */
  readonly lengths: { readonly p50: number; readonly p95: number; readonly max: number };
  /** Of labelled examples: how many have each label, in the order of the head's rows. */
  readonly labels?: readonly { readonly label: string; readonly examples: number }[];
  /** The first examples, cut where learned and given tokens meet. */
  readonly preview: readonly PreviewedExample[];
}

/** @param preview examples to show */
export function describeExamples(loaded: LoadedExamples, renderer: ChatRenderer, preview: number): DescribedExamples {
  const lengths = loaded.examples.map(({ tokenIds }) => tokenIds.length).toSorted((a, b) => a - b);
  const at = (share: number): number => lengths[Math.min(lengths.length - 1, Math.floor(share * lengths.length))];
  return {
    examples: loaded.examples.length,
    tokens: loaded.numTokens,
    learnedTokens: loaded.numTargets,
    lengths: { p50: at(0.5), p95: at(0.95), max: at(1) },
    ...(loaded.labels && { labels: countLabels(loaded, loaded.labels) }),
    preview: loaded.examples.slice(0, preview).map((example, index): PreviewedExample => ({
      line: loaded.lines[index],
      spans: [...spansOf(example, renderer), ...labelSpan(example, loaded.labels)],
    })),
  };
}

function countLabels(
  { examples }: LoadedExamples,
  labels: readonly string[],
): NonNullable<DescribedExamples['labels']> {
  const counts = labels.map((label) => ({ label, examples: 0 }));
  for (const { label } of examples) if (label !== undefined) counts[label].examples++;
  return counts;
}

function labelSpan({ label }: TokenExample, labels: readonly string[] = []): PreviewSpan[] {
  return label === undefined ? [] : [{ text: labels[label], weight: 1 }];
}

function spansOf(example: TokenExample, renderer: ChatRenderer): PreviewSpan[] {
  return weightSpans(example).map(({ start, end, weight }) => ({
    text: renderer.tokenizer.decode(example.tokenIds.subarray(start, end), { skipSpecial: false }),
    weight,
  }));
}
