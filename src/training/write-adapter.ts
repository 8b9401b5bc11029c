import { fail } from '../base/index.ts';
import { digestOfTensors } from '../formats/index.ts';
import {
  asPlainLora,
  trainableMethodOf,
  writeArtefact,
  type AdapterTensors,
  type WrittenArtefact,
} from '../adapters/index.ts';
import { writeModelFolder, type BaseModel } from '../model/index.ts';
import type { Floats } from '../numeric/index.ts';
import { writeTokenizerFiles } from '../text/index.ts';
import { FULL_CONFIG, isFull } from './full-model.ts';
import type { TrainJob } from './messages.ts';
import type { TrainingRun } from './run.ts';

/** What an adapter's folder says of its base, and where a whole model gets its tokenizer from. */
type Named = Pick<TrainJob, 'baseModelName'> & { readonly base: Pick<TrainJob['base'], 'path'> };

/** Writes the adapter of a run with these values, as a PEFT folder. */
export function writeAdapter(
  folder: string,
  job: Named,
  base: BaseModel,
  run: TrainingRun,
  values: readonly Float32Array[],
): WrittenArtefact {
  const { adapter, takenOff } = run;
  const tensors = run.artefact(values);
  if (isFull(adapter)) return writeModel(folder, job, base, tensors);
  const config = { ...adapter, base_model_name_or_path: job.baseModelName };
  const saved =
    takenOff && config.peft_type === 'LORA'
      ? asPlainLora(config, tensors, takenOff)
      : trainableMethodOf(config).saved?.(config, tensors);
  const { objective } = run.config;
  const classes = objective?.name === 'classification' ? { classes: objective } : {};
  return writeArtefact(folder, { ...(saved ?? { config, tensors }), ...classes }, base.digest);
}

/** A Hugging Face folder that needs no base. */
function writeModel(folder: string, job: Named, base: BaseModel, tensors: AdapterTensors): WrittenArtefact {
  const origin = job.base.path;
  const read = (name: string): Floats => tensors.get(name)?.data ?? fail('INTERNAL', `the model has no ${name}`);
  const sizeBytes = writeModelFolder(folder, { origin, config: base.config, dtype: 'f32', read });
  writeTokenizerFiles(origin, folder);
  return { digest: digestOfTensors(tensors, { base: base.digest, config: FULL_CONFIG }), sizeBytes };
}
