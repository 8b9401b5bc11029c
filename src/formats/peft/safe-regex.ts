import { fail } from '../../base/index.ts';
import { MAX_REGEX_LENGTH, MAX_REGEX_NODES, MAX_REGEX_TEXT_LENGTH } from '../limits.ts';
import { isWordCode, parseRegex, RegexProblem, type CharTest, type RegexNode } from './regex-parse.ts';

/**
 * Regular expressions from outside, without backtracking: all states of a nondeterministic automaton advance together (Thompson,
 * 1968), so that a match takes states × characters steps whatever the pattern is.
 */
type Instruction =
  | { readonly op: 'char'; readonly test: CharTest }
  | { readonly op: 'split'; readonly to: readonly number[] }
  | { readonly op: 'assert'; readonly what: 'start' | 'end' | 'boundary' | 'no-boundary' }
  | { readonly op: 'look'; readonly program: readonly Instruction[]; readonly isNegative: boolean }
  | { readonly op: 'match' };

/**
 * Python's `re.fullmatch(pattern, text)` as PEFT uses it on module paths, in linear time.
 * @param field names the pattern in errors
 * @throws CONFIG_INVALID when the pattern is not a regular expression, or uses what such a match cannot have (back-references,
 *   look-behind, inline flags, possessive quantifiers), or is absurdly large
 */
export function safeFullMatch(pattern: string, field = 'pattern'): (text: string) => boolean {
  const refuse = (message: string): never =>
    fail('CONFIG_INVALID', `${field}: regular expression ${JSON.stringify(pattern.slice(0, 100))} ${message}`, {
      param: field,
    });
  if (pattern.length > MAX_REGEX_LENGTH)
    refuse(`has ${pattern.length} characters, expected at most ${MAX_REGEX_LENGTH}`);
  const program = compileOrRefuse(pattern, refuse);
  return (text) => text.length <= MAX_REGEX_TEXT_LENGTH && run(program, text, 0, true);
}

function compileOrRefuse(pattern: string, refuse: (message: string) => never): readonly Instruction[] {
  try {
    return compile(parseRegex(pattern), { nodes: MAX_REGEX_NODES });
  } catch (error) {
    if (error instanceof RegexProblem) return refuse(error.message);
    throw error;
  }
}

function compile(root: RegexNode, budget: { nodes: number }, isLook = false): readonly Instruction[] {
  const program: Instruction[] = [];
  const emit = (instruction: Instruction): void => void program.push(instruction);
  /** A split whose targets are set once they are known. */
  const fork = (): number[] => {
    const to: number[] = [];
    emit({ op: 'split', to });
    return to;
  };
  const add = (node: RegexNode): void => {
    // Each node counts, not each state: a repeated empty group has no states and would still take its time.
    if (--budget.nodes < 0)
      throw new RegexProblem(`has more than ${MAX_REGEX_NODES} parts once its counts are written out`);
    switch (node.kind) {
      case 'char':
        emit({ op: 'char', test: node.test });
        return;
      case 'assert':
        emit({ op: 'assert', what: node.what });
        return;
      case 'look':
        // Each level of look-ahead would multiply the time by the text's length.
        if (isLook) throw new RegexProblem('has a look-ahead in a look-ahead, which is not supported');
        emit({ op: 'look', program: compile(node.body, budget, true), isNegative: node.isNegative });
        return;
      case 'sequence':
        node.parts.forEach(add);
        return;
      case 'choice': {
        const branch = fork();
        const exits: number[][] = [];
        for (const option of node.options) {
          branch.push(program.length);
          add(option);
          exits.push(fork());
        }
        for (const exit of exits) exit.push(program.length);
        return;
      }
      case 'repeat': {
        for (let i = 0; i < node.min; i++) add(node.body);
        if (node.max === Infinity) {
          const loop = fork();
          const start = program.length;
          add(node.body);
          fork().push(start - 1);
          loop.push(start, program.length);
          return;
        }
        const skips: number[][] = [];
        for (let i = node.min; i < node.max; i++) {
          const skip = fork();
          skip.push(program.length);
          skips.push(skip);
          add(node.body);
        }
        for (const skip of skips) skip.push(program.length);
        return;
      }
      default:
        node satisfies never;
    }
  };
  add(root);
  emit({ op: 'match' });
  return program;
}

/** Whether the program matches from `start`: to the text's end, or, for look-ahead, up to anywhere. */
function run(program: readonly Instruction[], text: string, start: number, toEnd: boolean): boolean {
  let current: number[] = [];
  let next: number[] = [];
  // The position at which a state was last entered: no state is entered twice at one position.
  const entered = new Int32Array(program.length).fill(-1);
  const enter = (first: number, position: number, list: number[]): boolean => {
    const stack = [first];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (entered[at] === position) continue;
      entered[at] = position;
      const instruction = program[at];
      if (instruction.op === 'split') stack.push(...instruction.to);
      else if (instruction.op === 'char') list.push(at);
      else if (instruction.op === 'match') {
        if (!toEnd || position === text.length) return true;
      } else if (holds(instruction, text, position)) stack.push(at + 1);
    }
    return false;
  };
  if (enter(0, start, current)) return true;
  for (let position = start; position < text.length && current.length > 0; position++) {
    const code = text.charCodeAt(position);
    next = [];
    for (const at of current) {
      const instruction = program[at];
      if (instruction.op === 'char' && instruction.test(code) && enter(at + 1, position + 1, next)) return true;
    }
    current = next;
  }
  return false;
}

function holds(condition: Extract<Instruction, { op: 'assert' | 'look' }>, text: string, position: number): boolean {
  if (condition.op === 'look') return run(condition.program, text, position, false) !== condition.isNegative;
  switch (condition.what) {
    case 'start':
      return position === 0;
    case 'end':
      return position === text.length;
    case 'boundary':
      return isBoundary(text, position);
    case 'no-boundary':
      return !isBoundary(text, position);
    default:
      return condition.what satisfies never;
  }
}

function isBoundary(text: string, position: number): boolean {
  const isWordAt = (index: number): boolean => index >= 0 && index < text.length && isWordCode(text.charCodeAt(index));
  return isWordAt(position - 1) !== isWordAt(position);
}
