import type { Family } from './family.ts';
import { llama } from './llama.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';

export const FAMILIES: readonly Family[] = [llama, qwen2, qwen3];

export function familyOfModelType(modelType: string): Family | undefined {
  return FAMILIES.find((family) => family.modelTypes.includes(modelType));
}

export function familyOfArchitecture(architecture: string): Family | undefined {
  return FAMILIES.find((family) => family.ggufArchitectures.includes(architecture));
}

export function familyNamed(name: string): Family | undefined {
  return FAMILIES.find((family) => family.name === name);
}
