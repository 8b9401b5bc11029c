import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { artefactDigest, readArtefact } from '../../adapters/index.ts';
import { ADAPTER_CONFIG } from '../../formats/index.ts';
import type { TeacherSource } from '../../training/index.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform } from '../platform.ts';

/** A teacher that was found, with the digest that stands in the run's configuration. */
export interface FoundTeacher extends TeacherSource {
  readonly digest: string;
}

/** The teacher of a run that names one. @throws as {@link findTeacher} */
export async function teacherOf(
  config: AppConfig,
  { teacher }: { readonly teacher?: string | undefined },
  student: Base,
  onProgress?: ModelProgress,
): Promise<FoundTeacher | undefined> {
  return teacher === undefined ? undefined : findTeacher(config, teacher, student, onProgress);
}

/**
 * What `--teacher` names: a PEFT folder (on the student's base), `TENANT/TASK[@VERSION]` (on the base that it was published for), or a base by
 * name or path.
 * @throws ADAPTER_NOT_FOUND ADAPTER_INVALID MODEL_NOT_FOUND
 */
async function findTeacher(
  config: AppConfig,
  name: string,
  student: Base,
  onProgress?: ModelProgress,
): Promise<FoundTeacher> {
  const { format } = student.open;
  if (existsSync(join(name, ADAPTER_CONFIG))) {
    const digest = artefactDigest(readArtefact(name, describeBase(student)), student.digest);
    return { base: student.open, adapter: name, digest };
  }
  if (/^(?:sha256:|[^/\\.]+\/[^/\\.]+$)/.test(name) && !existsSync(name)) {
    await using platform = await openPlatform(config);
    const version = platform.registry.resolve(null, name);
    const base = await resolveBase(config, version.base.name, onProgress, format, 'training');
    return { base: base.open, adapter: await platform.registry.materialise(version), digest: version.digest };
  }
  const base = await resolveBase(config, name, onProgress, format, 'training');
  return { base: base.open, adapter: undefined, digest: base.digest };
}
