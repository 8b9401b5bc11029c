import { InvalidArgumentError, Option } from 'commander';
import { flagOf, methodDefaults, TRAINING_METHODS, type MethodOption } from '../app/index.ts';
import { fraction, nonNegativeNumber, oneOf, positiveInteger, positiveNumber, wholeNumber } from './options.ts';

type Parser = (text: string) => unknown;

/** An option's argument, what it says, and how it is read; none of both for a switch. */
const OPTIONS: Readonly<Record<MethodOption, readonly [about: string, argument?: string, parse?: Parser]>> = {
  targets: ['attention, attention-qv, mlp, all-linear, norms, module names, or /regex/', 'which'],
  rank: ['rank of the update', 'n', positiveInteger],
  alpha: ['the update is scaled by alpha/rank', 'x', positiveNumber],
  dropout: ['dropout on the input of the update', 'p', fraction],
  rslora: ['scale by alpha/sqrt(rank) instead'],
  loraBias: ['train a bias with B'],
  bias: [
    'biases of the base to train too: none, all, or lora_only (those of adapted layers)',
    'which',
    oneOf(['none', 'all', 'lora_only']),
  ],
  targetParameters: [
    'weights to adapt by their own names, such as self_attn.q_proj.weight; alone, or beside --targets',
    'names',
  ],
  ensureWeightTying: ['train an embedding and a head that are one matrix in the base as one'],
  feedforward: ['targets whose input is scaled instead of the output (default: down_proj)', 'names'],
  dInitial: ['first value of the inner vector', 'x', positiveNumber],
  decomposeBoth: ['store the left factor as a product too'],
  decomposeFactor: ['size of the left factor; -1 is next to the square root', 'n', decomposition],
  blockSize: ['size of the rotated blocks', 'n', positiveInteger],
  blockShare: ['one rotation for all blocks of a module'],
  exactCayley: ["Cayley's matrix instead of its series"],
  virtualTokens: ['virtual tokens before the prompt', 'n', positiveInteger],
  initText: ['text that they begin as (default: tokens that are drawn)', 'text'],
  encoder: ['network that makes them while they are trained: mlp or lstm', 'kind', oneOf(['mlp', 'lstm'])],
  encoderHidden: ["its inner size (default: the base's width)", 'n', positiveInteger],
  encoderLayers: ['layers of the lstm', 'n', positiveInteger],
  projection: ['make keys and values by a network while they are trained'],
  modulesToSave: ['modules that are trained whole beside it: lm_head, embed_tokens, norm, …', 'names'],
  tokens: ['ids of tokens whose embeddings are trained, with commas', 'ids'],
  form: [
    'how the update repeats: balance, mini (rows too) or bat (block by block of the weights)',
    'name',
    oneOf(['balance', 'mini', 'bat']),
  ],
  miniRank: ['mini: rows of the update that differ', 'n', positiveInteger],
  frequencies: ['numbers of the spectrum of a module', 'n', positiveInteger],
  frequencySeed: ['decides where they stand', 'n', wholeNumber],
  scaling: ['factor of the update', 'x', positiveNumber],
  numVectors: ['vectors of the bank', 'n', positiveInteger],
  vectorLength: ["their length, a divisor of the modules' sides", 'n', positiveInteger],
  initialRank: ['rank before any is cut; --rank is what is left on average', 'n', positiveInteger],
  budgetWarmup: ['share of the steps before ranks are cut', 'share', fraction],
  budgetFinal: ['share of the steps after the last cut', 'share', fraction],
  budgetEvery: ['steps between two cuts', 'n', positiveInteger],
  orthogonality: ['weight of the penalty on matrices that are not orthogonal', 'x', nonNegativeNumber],
  topk: ['vectors that are mixed', 'n', positiveInteger],
};

/** The options of the methods, a group of the help for what several share and one for each method's own. */
export function methodOptions(): Option[] {
  return (Object.keys(OPTIONS) as MethodOption[]).map((name) => {
    const [about, argument, parse] = OPTIONS[name];
    const methods = TRAINING_METHODS.filter((method) => name in methodDefaults(method));
    const option = new Option(
      `${flagOf(name)}${argument === undefined ? '' : ` <${argument}>`}`,
      about + defaultsOf(name),
    );
    if (parse) option.argParser(parse);
    const [only] = methods;
    return option.helpGroup(methods.length === 1 ? `Options of --method ${only}:` : 'Options of several methods:');
  });
}

/** ` (lora, dora: 8; vera: 256)` */
function defaultsOf(name: MethodOption): string {
  const byValue = new Map<string, string[]>();
  for (const method of TRAINING_METHODS) {
    const { [name]: value } = methodDefaults(method);
    if (value === undefined || value === null) continue;
    const key = String(value);
    byValue.set(key, [...(byValue.get(key) ?? []), method]);
  }
  if (byValue.size === 0) return '';
  const parts = [...byValue].map(([value, methods]) => `${methods.join(', ')}: ${value}`);
  return ` (${parts.join('; ')})`;
}

function decomposition(text: string): number {
  if (text === '-1') return -1;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('expected -1 or a whole number from 1.');
  return value;
}
