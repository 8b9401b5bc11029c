import type { Problem } from '../base/index.ts';
import type { ChatRenderer } from '../text/index.ts';
import { loadExamples, selectExamples, type LoadedExamples } from './example.ts';
import { labelsIn, type ObjectiveName } from './objectives/objective.ts';
import type { RunConfig } from './run-config.ts';
import { describeOverlaps, findOverlaps, promptKeys, type OverlapReport } from './overlap.ts';

/** Where a run's examples come from. */
export interface RunSources {
  readonly dataPath: string;
  readonly validPath: string | undefined;
  /** Share of the training examples that is held out when there is no held-out file. */
  readonly validShare: number;
  readonly objective: ObjectiveName;
  /** Of a classification. */
  readonly labels?: readonly string[] | undefined;
}

/** The sources of a run with these settings. */
export function sourcesOf(
  { validShare = 0, objective }: Pick<RunConfig, 'validShare' | 'objective'>,
  dataPath: string,
  validPath: string | undefined,
): RunSources {
  return { dataPath, validPath, validShare, objective: objective?.name ?? 'sft', labels: labelsIn(objective) };
}

export interface LoadedRunData {
  readonly train: LoadedExamples;
  /** Undefined when nothing is held out. */
  readonly valid: LoadedExamples | undefined;
  readonly overlaps: OverlapReport;
  /** Of the files and of what they repeat. */
  readonly warnings: readonly Problem[];
}

/** Held-out examples beyond this make evaluations slow and their mean hardly better. */
const MAX_HELD_OUT = 256;
/** Of fewer examples none are held out: training needs them more. */
const MIN_EXAMPLES_TO_HOLD_OUT = 20;

/**
 * Loads, checks and (without a held-out file) divides a run's data.
 * @throws DATA_INVALID with a problem for each line that is wrong
 */
export function loadRunData(sources: RunSources, renderer: ChatRenderer, contextLength: number): LoadedRunData {
  const { dataPath, validPath, validShare, objective, labels } = sources;
  const load = (path: string): LoadedExamples => loadExamples(path, renderer, contextLength, objective, labels);
  const all = load(dataPath);
  const given = validPath === undefined ? undefined : load(validPath);
  const { train, valid } = given ? { train: all, valid: given } : holdOut(all, validShare, renderer);
  const overlaps = findOverlaps(train, valid, renderer.tokenizer);
  const where = 'data';
  const warnings = [
    ...all.warnings,
    ...(given?.warnings ?? []),
    ...describeOverlaps(overlaps).map((message) => ({ where, message })),
    ...describeUnused(train).map((message) => ({ where, message })),
  ];
  return { train, valid, overlaps, warnings };
}

/** Labels that no training example has: their rows of the head learn only to be unlikely. */
function describeUnused({ examples, labels = [] }: LoadedExamples): string[] {
  const used = new Set(examples.map(({ label }) => label));
  const unused = labels.filter((_, number) => !used.has(number)).map((label) => JSON.stringify(label));
  return unused.length > 0 ? [`no training example has the label ${unused.join(', ')}: it cannot be learned`] : [];
}

/**
 * Divides examples by their content: those whose prompts' digests are the lowest are held out, until they are the share that is asked
 * for, at most {@link MAX_HELD_OUT} and at least one; of fewer than {@link MIN_EXAMPLES_TO_HOLD_OUT} none. Conversations that begin with a prompt of
 * the same words are always on one side (where most do, those whose last prompts are the same), and neither the order of the lines nor the seed has a
 * say, so runs on the same data are compared on the same part.
 */
export function holdOut(
  all: LoadedExamples,
  share: number,
  renderer: ChatRenderer,
): { readonly train: LoadedExamples; readonly valid: LoadedExamples | undefined } {
  const count = all.examples.length;
  if (share === 0 || count < MIN_EXAMPLES_TO_HOLD_OUT) return { train: all, valid: undefined };
  const wanted = Math.min(MAX_HELD_OUT, Math.max(1, Math.round(share * count)));
  const prompts = all.examples.map((example) => promptKeys(example, renderer.tokenizer));
  const byFirst = chooseGroups(
    prompts.map((own) => own[0]),
    wanted,
  );
  // Where most begin alike, hardly any could be held out.
  const byLast =
    2 * byFirst.size < wanted
      ? chooseGroups(
          prompts.map((own) => own[own.length - 1]),
          wanted,
        )
      : byFirst;
  const heldOut = byLast.size > byFirst.size ? byLast : byFirst;
  if (heldOut.size === 0) return { train: all, valid: undefined };
  return {
    train: selectExamples(all, (index) => !heldOut.has(index)),
    valid: selectExamples(all, (index) => heldOut.has(index)),
  };
}

/** Of examples with these keys about `wanted`, as whole groups of equal keys, the lowest first. @returns their places */
function chooseGroups(keys: readonly string[], wanted: number): Set<number> {
  const groups = new Map<string, number[]>();
  for (const [index, key] of keys.entries()) {
    const group = groups.get(key);
    if (group) group.push(index);
    else groups.set(key, [index]);
  }
  const heldOut = new Set<number>();
  for (const [, group] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (heldOut.size >= wanted) break;
    // A prompt that many examples share would take the whole part.
    if (heldOut.size + group.length > Math.max(wanted, 2)) continue;
    for (const index of group) heldOut.add(index);
  }
  return heldOut;
}
