import type { PeftConfig } from '../../formats/index.ts';
import { isFull, labelsIn, type TrainJob, type TrainResult } from '../../training/index.ts';
import { VERSION } from '../version.ts';

/** Tags of Hugging Face's hub for what an objective is. */
const OBJECTIVE_NAMES = {
  sft: 'supervised fine-tuning',
  distillation: 'knowledge distillation',
  dpo: 'direct preference optimisation',
  ipo: 'identity preference optimisation',
  simpo: 'simple preference optimisation',
  orpo: 'odds ratio preference optimisation',
  kto: 'Kahneman-Tversky optimisation',
  classification: 'sequence classification',
} as const;

/**
 * The README.md of a PEFT folder: the hub's metadata (model cards' YAML, `library_name: peft`), and what somebody who finds the folder
 * wants to know. It has no time and no path of this machine: equal runs have equal cards.
 */
export function modelCard(job: TrainJob, result: TrainResult): string {
  const { config } = job;
  const objective = config.objective?.name ?? 'sft';
  const pipeline = objective === 'classification' ? 'text-classification' : 'text-generation';
  const method = config.adapter.peft_type.toLowerCase();
  const tags = [
    method,
    objective,
    'espalier',
    `base_model:${isFull(config.adapter) ? 'finetune' : 'adapter'}:${job.baseModelName}`,
  ];
  const figures: readonly (readonly [name: string, type: string, value: number | null])[] = [
    ['held-out loss', 'loss', result.validLoss],
    ['held-out accuracy', 'accuracy', result.validAccuracy],
  ];
  const metrics = figures.flatMap(([name, type, value]) =>
    value === null
      ? []
      : [`          - type: ${type}`, `            name: ${name}`, `            value: ${value.toPrecision(6)}`],
  );
  const results =
    metrics.length === 0
      ? []
      : [
          'model-index:',
          '  - name: adapter',
          '    results:',
          '      - task:',
          `          type: ${pipeline}`,
          '        dataset:',
          '          name: held-out examples',
          '          type: jsonl',
          '        metrics:',
          ...metrics,
        ];
  const header = [
    '---',
    `base_model: ${quoted(job.baseModelName)}`,
    `library_name: ${isFull(config.adapter) ? 'transformers' : 'peft'}`,
    `pipeline_tag: ${pipeline}`,
    'tags:',
    ...tags.map((tag) => `  - ${quoted(tag)}`),
    ...(metrics.length > 0 ? ['metrics:', '  - loss', '  - accuracy'] : []),
    ...results,
    '---',
  ];
  const rows: readonly (readonly [string, string | number])[] = [
    ['base model', `${job.baseModelName} (\`${result.baseDigest}\`)`],
    ['method', isFull(config.adapter) ? 'full fine-tuning' : describeMethod(config.adapter)],
    ['objective', OBJECTIVE_NAMES[objective]],
    ['trained parameters', `${result.trainableParameters} of ${result.totalParameters}`],
    ['training data', `${result.trainExamples} examples (\`${result.dataDigest}\`)`],
    ['held-out data', describeHeldOut(job, result)],
    ['steps', `${result.steps}, the best is ${result.bestStep}`],
    ['tokens', result.trainedTokens],
    ['peak learning rate', `${config.learningRate}, ${config.schedule}`],
    ['seed', config.seed],
    ['last training loss', result.trainLoss.toPrecision(6)],
    ['held-out loss', result.validLoss?.toPrecision(6) ?? 'not measured'],
    ['held-out accuracy', result.validAccuracy?.toPrecision(6) ?? 'not measured'],
    ['made with', `Espalier ${VERSION}`],
  ];
  const table = ['| | |', '| --- | --- |', ...rows.map(([name, value]) => `| ${name} | ${value} |`)];
  const labels = labelsIn(config.objective);
  return `${[...header, '', '# Adapter', '', ...table, ...(labels ? labelLines(job, labels) : [])].join('\n')}\n`;
}

/** Hugging Face keeps the labels of a classifier in the config of its base: who opens the folder there has to be told them. */
function labelLines({ baseModelName }: TrainJob, labels: readonly string[]): string[] {
  return [
    '',
    '# Labels',
    '',
    'In the order of the head’s rows; Espalier reads them from the metadata of `adapter_model.safetensors`. In Python:',
    '',
    '```python',
    'from peft import PeftModel',
    'from transformers import AutoModelForSequenceClassification',
    '',
    `id2label = ${JSON.stringify(Object.fromEntries(labels.entries()))}`,
    'base = AutoModelForSequenceClassification.from_pretrained(',
    `    ${JSON.stringify(baseModelName)}, num_labels=${labels.length}, id2label={int(i): label for i, label in id2label.items()}`,
    ')',
    'model = PeftModel.from_pretrained(base, ".")',
    '```',
  ];
}

function describeMethod(config: PeftConfig): string {
  const rank = 'r' in config && typeof config.r === 'number' ? `, rank ${config.r}` : '';
  const alpha = 'lora_alpha' in config ? `, alpha ${String(config.lora_alpha)}` : '';
  return `${config.peft_type}${rank}${alpha}`;
}

function describeHeldOut(job: TrainJob, { validExamples, validDigest }: TrainResult): string {
  if (validExamples === 0) return 'none';
  return validDigest === null
    ? `${validExamples} examples of the training file (a share of ${job.config.validShare ?? 0}, by content)`
    : `${validExamples} examples (\`${validDigest}\`)`;
}

/** A YAML scalar: JSON's strings are YAML's. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
