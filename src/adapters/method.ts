import type { Rng } from '../base/index.ts';
import type { PeftConfig } from '../formats/index.ts';
import type { LinearSite, SiteHooks } from '../model/index.ts';
import type { Floats, Tensor } from '../numeric/index.ts';
import type { CompiledAdapter } from './primitives.ts';

/** A trainable tensor of an adapter, by its name in the PEFT folder. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Tensors of an adapter by PEFT name. */
export type AdapterTensors = ReadonlyMap<string, Tensor>;

export interface TrainingMode {
  /** Drives dropout; absent in evaluation. */
  readonly dropoutRng: Rng | undefined;
}

/**
 * A PEFT method: one file in methods/, one line in methods/index.ts. It sees the model's named sites and nothing else of it.
 * `bind` is the method as its paper writes it, on the tape: autodiff does the rest. `compile` is the same function in row
 * primitives, which is all that serving knows; a law test holds the two against each other for every method.
 */
export interface Method<Config extends PeftConfig = PeftConfig> {
  /** The command line's name. */
  readonly name: string;
  readonly peftType: Config['peft_type'];
  /** The trainable tensors for these sites. @throws TARGET_UNMATCHED */
  parameters(config: Config, sites: readonly LinearSite[]): ParameterSpec[];
  /** Writes a parameter's first value, drawn from `rng`. */
  initialise(config: Config, parameter: ParameterSpec, values: Floats, rng: Rng): void;
  /** The hooks that apply the method during training. */
  bind(config: Config, sites: readonly LinearSite[], tensors: AdapterTensors, mode: TrainingMode): SiteHooks;
  compile(config: Config, sites: readonly LinearSite[], tensors: AdapterTensors): CompiledAdapter;
}
