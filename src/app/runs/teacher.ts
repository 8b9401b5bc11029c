import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { artefactDigest, readArtefact } from '../../adapters/index.ts';
import { ADAPTER_CONFIG } from '../../formats/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import type { TeacherSource } from '../../training/index.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform } from '../platform.ts';

/** A teacher that was found, with the digest that stands in the run's configuration. */
export interface FoundTeacher extends TeacherSource {
  readonly digest: string;
}

/**
 * What `--teacher` names: a PEFT folder (on the student's base), `TENANT/TASK[@VERSION]` (on the base that it was published for), or a base by
 * name or path.
 * @throws ADAPTER_NOT_FOUND ADAPTER_INVALID MODEL_NOT_FOUND
 */
export async function findTeacher(
  config: AppConfig,
  name: string,
  student: Base,
  format: WeightFormat,
  onProgress?: ModelProgress,
): Promise<FoundTeacher> {
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
