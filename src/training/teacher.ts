import { compileAdapter, passHooks, readArtefact } from '../adapters/index.ts';
import { fail } from '../base/index.ts';
import { baseHooks, openBase, type BaseModel, type OpenBaseOptions, type SiteHooks } from '../model/index.ts';
import type { PackingKernels } from '../numeric/index.ts';
import { openTokenizer, type Tokenizer } from '../text/index.ts';
import type { Teacher } from './objectives/distillation.ts';

/** A model to learn from: plain data, which crosses to the training process. */
export interface TeacherSource {
  readonly base: OpenBaseOptions;
  /** A PEFT folder; the base alone when missing. */
  readonly adapter: string | undefined;
}

/**
 * Opens a teacher; one on the student's base shares it.
 * @throws CONFIG_INVALID for another tokenizer, or an adapter that classifies
 */
export function openTeacher(
  source: TeacherSource,
  student: { readonly open: OpenBaseOptions; readonly base: BaseModel; readonly tokenizer: Tokenizer },
  kernels: PackingKernels,
): Teacher {
  const { open, base: own } = student;
  const isShared = source.base.digest === open.digest && source.base.format === open.format;
  const base = isShared ? own : openBase(source.base, kernels);
  if (!isShared && source.base.path !== open.path) requireSameTokens(source.base, student.tokenizer);
  if (source.adapter === undefined) return { base, hooks: baseHooks };
  return { base, hooks: adapterHooks(source.adapter, base) };
}

function adapterHooks(folder: string, base: BaseModel): SiteHooks {
  const adapter = compileAdapter(readArtefact(folder, base), base);
  if (adapter.head?.kind === 'classes') {
    fail('CONFIG_INVALID', `${folder} gives labels, not tokens: a teacher is an adapter that generates`, {
      param: 'teacher',
    });
  }
  return passHooks(adapter, base);
}

/** Distributions are compared token by token: an id must mean the same to both. */
function requireSameTokens({ name, path }: OpenBaseOptions, own: Tokenizer): void {
  const other = openTokenizer(path);
  for (let id = 0; id < Math.max(own.vocabSize, other.vocabSize); id++) {
    if (Buffer.compare(own.tokenBytes(id), other.tokenBytes(id)) === 0) continue;
    fail(
      'CONFIG_INVALID',
      `the teacher ${name} has another tokenizer (token ${id} differs): take one of the same family`,
      {
        param: 'teacher',
      },
    );
  }
}
