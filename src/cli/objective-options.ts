import { Option } from 'commander';
import { OBJECTIVES } from '../app/index.ts';
import { fraction, nonNegativeNumber, oneOf, positiveNumber, share } from './options.ts';

const OPTIONS: readonly (readonly [flags: string, about: string, parse?: (text: string) => unknown])[] = [
  ['--objective <name>', `what is made small: ${OBJECTIVES.join(', ')} (default: sft)`, oneOf(OBJECTIVES)],
  ['--beta <x>', 'preference objectives: how strongly (default: 0.1; simpo: 2)', positiveNumber],
  ['--gamma <x>', 'simpo: the margin between the rewards (default: 1)', nonNegativeNumber],
  ['--label-smoothing <p>', 'dpo: the share of labels that are wrong (default: 0)', fraction],
  ['--desirable-weight <x>', 'kto: weight of good answers (default: 1)', positiveNumber],
  ['--undesirable-weight <x>', 'kto: weight of bad answers (default: 1)', positiveNumber],
  ['--teacher <ref>', 'distillation: TENANT/TASK[@VERSION], a PEFT folder of the base, or a base'],
  ['--temperature <x>', 'distillation: softens both distributions (default: 2)', positiveNumber],
  ['--teacher-share <share>', 'distillation: of the teacher, against the targets (default: 0.5)', share],
  ['--labels <names>', 'classification: all labels, with commas between (default: those of the data, sorted)'],
];

/** The options that say what a run makes small. */
export function objectiveOptions(): Option[] {
  return OPTIONS.map(([flags, about, parse]) => {
    const option = new Option(flags, about);
    return parse ? option.argParser(parse) : option;
  });
}
