/** An entry of the table of `npm run peers:training-methods`; see training-methods.ts for how one joins. */
export interface TrainingCase {
  /** Of the line that is printed; unique. */
  readonly name: string;
  /**
   * What `adapter_config.json` of a new adapter says, without its base and task: `peft_type` and the fields that differ from PEFT's
   * defaults. Sizes that PEFT takes from the base (of virtual tokens) are left to it.
   */
  readonly config: { readonly peft_type: string } & Readonly<Record<string, unknown>>;
  /** A folder of test/golden/models; tiny-llama when missing. tiny-qwen2 has biases on q, k and v, and a head tied to the embedding. */
  readonly base?: 'tiny-llama' | 'tiny-qwen2';
  /** By default 2e-3. */
  readonly learningRate?: number;
}
