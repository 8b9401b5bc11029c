import { assert, type Rng } from '../base/index.ts';
import { tensorName, type PeftConfig } from '../formats/index.ts';
import type { BaseModel, LinearSite, ModelConfig, SiteHooks } from '../model/index.ts';
import type { Floats, Kernels, Parameter, Tensor } from '../numeric/index.ts';
import type { CompiledAdapter } from './primitives.ts';

/** A tensor of an adapter that is trained, by its name in the PEFT folder. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** It belongs to the artefact and has a first value, but is not trained: VeRA's shared matrices. */
  readonly isFrozen?: true;
  /** Its first value is another tensor's, transposed: drawn from the random numbers of that one. */
  readonly drawnAs?: string;
}

/** Tensors of an adapter by PEFT name. */
export type AdapterTensors = ReadonlyMap<string, Tensor>;

export interface TrainingMode {
  /** Drives dropout; absent in evaluation. */
  readonly dropoutRng: Rng | undefined;
}

/** A linear layer y = W·x + bias as dense values, in the kernels' precision; a layer without a bias has one of zeros. */
export interface DenseLinear {
  readonly site: LinearSite;
  readonly weight_OI: Floats;
  readonly bias_O: Floats;
  readonly kernels: Kernels;
}

/**
 * A PEFT method that can be served: one file in methods/, one line in methods/index.ts. It sees the base's named sites and their frozen
 * weights, and nothing else of the model.
 */
export interface Method<Config extends PeftConfig = PeftConfig> {
  /** The command line's name. */
  readonly name: string;
  readonly peftType: Config['peft_type'];
  /** Which of the configs of this peft_type are the method's; all when it is missing. */
  accepts?(config: Config): boolean;
  /**
   * The method in row primitives, which is all that serving knows. `tensors` have passed `readArtefact`'s checks. Of the result's arrays
   * none is the base's or another adapter's: serving moves their memory to the thread that uses it, and gives it back.
   * @throws ADAPTER_INVALID for values that the method cannot work with
   */
  compile(config: Config, base: BaseModel, tensors: AdapterTensors): CompiledAdapter;
  /**
   * Changes a layer, in place, to the one that gives the adapter's outputs without an adapter: the method as PEFT merges it. Written
   * from the tensors, not from what `compile` made of them, because the proof of an adapter compares the two. Missing for a
   * method that changes no linear layer.
   */
  merge?(config: Config, dense: DenseLinear, tensors: AdapterTensors): void;
}

/**
 * A method that can be trained too. `bind` is the method as its paper writes it, on the tape: autodiff does the rest. A law test holds
 * it against `compile` for every such method.
 */
export interface TrainableMethod<Config extends PeftConfig = PeftConfig> extends Method<Config> {
  /** Settings of the config that can be served but not trained, by PEFT's names. */
  untrained?(config: Config): readonly string[];
  /**
   * The tensors that a run has for a base with these sites: those of the artefact, or those that `fold` makes them of.
   * @throws TARGET_UNMATCHED
   */
  parameters(config: Config, sites: readonly LinearSite[], model: ModelConfig): ParameterSpec[];
  /** Settings that do not do on this base what they seem to, described. */
  warnings?(config: Config, sites: readonly LinearSite[], model: ModelConfig): string[];
  /** The artefact's tensors, of a method that trains others (the encoder of virtual tokens). */
  fold?(config: Config, base: BaseModel, tensors: AdapterTensors): AdapterTensors;
  /**
   * Whether the hooks of `bind` call `base` first of all, on the very input they got: then one frozen product may serve the rows of
   * several runs. The others get a product of their own rows, with the same bits.
   */
  readonly sharesProduct?: boolean;
  /**
   * Writes a parameter's first value, drawn from `rng`; some are made of the base's weights.
   * @param initialTokenIds tokens that virtual ones begin as, where the config says that they begin as a text
   */
  initialise(
    config: Config,
    parameter: ParameterSpec,
    values: Floats,
    rng: Rng,
    base: BaseModel,
    initialTokenIds?: readonly number[],
  ): void;
  /** The config of a run of so many steps, for a method that does something else in some of them. @throws CONFIG_INVALID */
  scheduled?(config: Config, totalSteps: number): Config;
  /** What the method does beside the optimizer, for the parameters of a run. */
  stepRule?(config: Config, parameters: readonly Parameter[], model: ModelConfig): StepRule | undefined;
  /** What is written of trained tensors, where that is not just these. */
  saved?(config: Config, tensors: AdapterTensors): { readonly config: Config; readonly tensors: AdapterTensors };
  /** The hooks that apply the method during training. They read the tensors' values in each pass, so one binding lasts a whole run. */
  bind(config: Config, base: BaseModel, tensors: AdapterTensors, mode: TrainingMode): SiteHooks;
}

/** What a method does in each step of a run beside its forward pass. */
export interface StepRule {
  /** All that it remembers between steps, by name: a checkpoint has it. */
  readonly state: ReadonlyMap<string, Tensor>;
  /**
   * Adds a penalty to the gradients, which are sums that will be divided by `weightSum`.
   * @returns the penalty itself
   */
  addPenalty?(kernels: Kernels, weightSum: number): number;
  /** Called before the optimizer changes the values. */
  beforeUpdate?(): void;
  /** Called when the optimizer has changed the values, and the gradients are still there; times `gradientScale` they are what it used. */
  afterUpdate(step: number, gradientScale: number): void;
}

/** A tensor that the checks of the artefact have promised, by its whole name. */
export function requireTensor(tensors: AdapterTensors, name: string): Tensor {
  const tensor = tensors.get(name);
  assert(tensor, `the adapter has the tensor ${name}`);
  return tensor;
}

/** The same for a tensor of a module. */
export function tensorAt(tensors: AdapterTensors, site: LinearSite, suffix: string): Tensor {
  return requireTensor(tensors, tensorName(site.path, suffix));
}

/** The site that a parameter of a module belongs to. */
export function siteOf(parameter: ParameterSpec, base: BaseModel): LinearSite {
  const site = base.sites.find(({ path }) => parameter.name.startsWith(tensorName(path, '')));
  assert(site, `${parameter.name} belongs to a module of the base`);
  return site;
}
