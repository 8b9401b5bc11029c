/** Cases of `npm run peers:training-methods` of methods that change weight matrices in a way of their own. */
import type { TrainingCase } from './training-case.ts';

const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
const LINEAR = [...ATTENTION, 'gate_proj', 'up_proj', 'down_proj'];
/** Far from a new adapter some curve so sharply that rounding grows a hundredfold in 20 of the other methods' steps. */
const SMALL_RATE = 2e-4;

export const MATRIX_CASES: readonly TrainingCase[] = [
  {
    name: 'adalora, with its budget',
    config: {
      peft_type: 'ADALORA',
      init_r: 4,
      target_r: 2,
      lora_alpha: 6,
      target_modules: LINEAR,
      total_step: 20,
      tinit: 2,
      tfinal: 5,
      deltaT: 2,
    },
  },
  { name: 'boft', config: { peft_type: 'BOFT', boft_block_size: 8, target_modules: LINEAR } },
  {
    name: 'boft, a number of blocks',
    config: { peft_type: 'BOFT', boft_block_size: 0, boft_block_num: 4, target_modules: ['q_proj', 'down_proj'] },
    base: 'tiny-qwen2',
  },
  { name: 'hra', config: { peft_type: 'HRA', r: 4, target_modules: LINEAR } },
  { name: 'miss', config: { peft_type: 'MISS', r: 4, target_modules: LINEAR } },
  {
    name: 'miss, mini',
    config: { peft_type: 'MISS', r: 8, mini_r: 4, init_weights: 'mini', target_modules: ATTENTION },
  },
  {
    name: 'miss, bat',
    config: { peft_type: 'MISS', r: 8, init_weights: 'bat', target_modules: ['q_proj', 'v_proj', 'down_proj'] },
    base: 'tiny-qwen2',
  },
  {
    name: 'fourierft',
    config: { peft_type: 'FOURIERFT', n_frequency: 60, scaling: 40, target_modules: ATTENTION },
    learningRate: SMALL_RATE,
  },
  {
    name: 'randlora',
    config: { peft_type: 'RANDLORA', r: 5, randlora_alpha: 10, target_modules: LINEAR },
    learningRate: SMALL_RATE,
  },
  {
    name: 'vblora',
    config: { peft_type: 'VBLORA', r: 3, num_vectors: 10, vector_length: 8, topk: 2, target_modules: ATTENTION },
    learningRate: SMALL_RATE,
  },
];
