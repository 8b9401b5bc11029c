import { fail, Rng, newId } from '../../base/index.ts';
import type { JobRequest, JobServices } from '../../http/index.ts';
import type { JobFile, JobMethod } from '../../jobs/index.ts';
import { jobEntry } from '../governance/entries.ts';
import type { Platform } from '../platform.ts';
import { describeBase, type Base } from '../bases.ts';
import { ownTenant } from './file-services.ts';
import { resolvePeft } from './peft.ts';

/** The methods that the trainer has. */
const TUNING_METHODS: readonly JobMethod[] = ['supervised', 'dpo', 'classification'];

/** The forms of data that a method learns from. */
const FORMS: Readonly<Record<JobMethod, readonly string[]>> = {
  supervised: ['chat', 'completion'],
  dpo: ['preference'],
  classification: ['labelled'],
};

/** Fine-tuning jobs of tenants, on the bases of this server. @param wake is told of work */
export function makeJobServices(
  { files, jobs, audit }: Pick<Platform, 'files' | 'jobs' | 'audit'>,
  bases: readonly Base[],
  wake: () => void,
): JobServices {
  return {
    create(principal, request) {
      const tenant = ownTenant(principal);
      const base = requireSupported(request, bases);
      const fileOf = (id: string, param: string): JobFile => trainableFile(files, tenant, id, request.method, param);
      const asked = {
        tenant,
        project: principal.project ?? null,
        base: { name: base.name, digest: base.digest },
        method: request.method,
        hyperparameters: request.hyperparameters,
        peft: resolvePeft(request.peft, describeBase(base).config, request.method),
        suffix: request.suffix,
        seed: request.seed ?? drawSeed(),
        training: fileOf(request.trainingFile, 'training_file'),
        validation: request.validationFile === null ? null : fileOf(request.validationFile, 'validation_file'),
        metadata: request.metadata,
      };
      const job = audit.during(
        () => jobs.create(asked),
        (created) => jobEntry(principal.keyId, 'job.create', created),
      );
      wake();
      return job;
    },
    get: ({ tenant }, id) => jobs.get(tenant, id),
    list: ({ tenant }, page) => jobs.list(tenant, page),
    command({ tenant, keyId }, id, command) {
      const job = audit.during(
        () => jobs.command(tenant, id, command),
        (commanded) => jobEntry(keyId, `job.${command}`, commanded),
      );
      wake();
      return job;
    },
    events: ({ tenant }, id, page) => jobs.events(tenant, id, page),
    checkpoints: ({ tenant }, id, limit, after) => jobs.checkpoints(tenant, id, limit, after),
  };
}

/** The base that a job names. @throws MODEL_NOT_FOUND REQUEST_INVALID */
export function requireSupported<Base extends { readonly name: string }>(
  { model, method }: JobRequest,
  bases: readonly Base[],
): Base {
  const base = bases.find(({ name }) => name === model);
  if (!base) {
    const rule = 'a job begins from a base of this server';
    const names = bases.map(({ name }) => name).join(', ');
    return fail('MODEL_NOT_FOUND', `model must be ${names}, got ${JSON.stringify(model)}: ${rule}`, { param: 'model' });
  }
  if (!TUNING_METHODS.includes(method)) {
    fail('REQUEST_INVALID', `method.type ${method} is not supported: this server has ${TUNING_METHODS.join(', ')}`, {
      param: 'method.type',
    });
  }
  return base;
}

/** @throws STORED_FILE_NOT_FOUND; REQUEST_INVALID the file is no data of this method */
function trainableFile(
  files: Platform['files'],
  tenant: string,
  id: string,
  method: JobMethod,
  param: string,
): JobFile {
  const file = files.get(tenant, id);
  const refuse = (why: string): never => fail('REQUEST_INVALID', `${param} ${id} (${file.filename}) ${why}`, { param });
  if (file.purpose !== 'fine-tune') refuse(`has the purpose ${file.purpose}: it must be fine-tune`);
  if (file.problem !== null) refuse(`cannot be trained on:\n${file.problem}`);
  const mismatch = formMismatch(method, file.form);
  if (mismatch !== null) refuse(mismatch);
  return { id, digest: file.digest };
}

/** What speaks against examples of a form for a method; null: nothing. */
export function formMismatch(method: JobMethod, form: string | null): string | null {
  const forms = FORMS[method];
  if (form !== null && forms.includes(form)) return null;
  return `has ${form} examples: ${method} takes ${forms.join(' or ')} examples`;
}

/** Jobs that were not given one differ: a second try is not the first again. */
function drawSeed(): number {
  return Rng.fromSeed(0, newId('')).nextUint32() >>> 1;
}
