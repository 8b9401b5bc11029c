import { EspalierError, fail, type Log, type Problem } from '../../base/index.ts';
import type { DataServices, FileProblem } from '../../http/index.ts';
import { resolveHyperparameters, type DataSize } from '../../jobs/index.ts';
import { describeBase, resolveBase } from '../bases.ts';
import { machineForEstimates } from '../bench/machine.ts';
import type { AppConfig } from '../config.ts';
import type { DescribedExamples } from '../data-preview.ts';
import type { Platform } from '../platform.ts';
import type { DataChecker } from './data-checker.ts';
import { estimateRun } from './estimate.ts';
import { resolvePeft, usableContext } from './peft.ts';
import { formMismatch, requireSupported } from './job-services.ts';

/** Problems that are told. */
const MAX_TOLD = 1000;

/** Looks at training data for people who have not made a job of it yet. */
export function makeDataServices(
  config: AppConfig,
  { files }: Pick<Platform, 'files'>,
  bases: readonly { readonly name: string }[],
  checker: DataChecker,
  log: Log,
): DataServices {
  return {
    async check({ tenant }, job, preview) {
      const file = files.get(tenant, job.trainingFile);
      if (file.purpose !== 'fine-tune') {
        fail('REQUEST_INVALID', `file ${file.id} has the purpose ${file.purpose}: it must be fine-tune`, {
          param: 'file',
        });
      }
      const base = await resolveBase(config, requireSupported(job, bases).name);
      const { config: model } = describeBase(base);
      const peft = resolvePeft(job.peft, model, job.method);
      const contextLength = usableContext(peft, model);
      await using plain = await files.plain(file.digest);
      const request = { path: plain.path, name: file.filename, preview };
      try {
        const { form, described } = await checker.check({ ...request, base: { path: base.open.path, contextLength } });
        const mismatch = formMismatch(job.method, form);
        if (mismatch !== null) return refused([{ line: null, message: `the file ${mismatch}` }]);
        if (!described) return fail('INTERNAL', 'the check has described nothing');
        const { warnings, ...content } = described;
        return {
          problems: [],
          warnings: warnings.map(problemOf),
          data: { form, contextLength, ...content },
          estimate: estimateRun({
            config: model,
            peft,
            resolved: resolveHyperparameters(job.hyperparameters, job.method, sizeOf(content)),
            longest: content.lengths.max,
            machine: machineForEstimates(config.home, log),
          }),
        };
      } catch (error) {
        if (!(error instanceof EspalierError && error.code === 'DATA_INVALID')) throw error;
        const problems = error.problems.slice(0, MAX_TOLD).map(problemOf);
        return refused(problems.length > 0 ? problems : [{ line: null, message: error.message }]);
      }
    },
  };
}

function sizeOf({ examples, tokens, labels }: DescribedExamples): DataSize {
  return { examples, tokens, ...(labels && { labels: labels.length }) };
}

function refused(problems: readonly FileProblem[]) {
  return { problems, warnings: [], data: null, estimate: null };
}

/** `train.jsonl:17`, and a message that may name the line too, as a line and what is wrong with it. */
function problemOf({ where, message }: Problem): FileProblem {
  const line = /:(\d+)$/.exec(where)?.[1];
  return {
    line: line === undefined ? null : Number(line),
    message: message.replace(/^line \d+: | \(line \d+\)$/g, ''),
  };
}
