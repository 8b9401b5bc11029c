/** `target_parameters` of a LoRA: matrices of the base that are adapted by their own names instead of their modules'. */

/** The fields of a config that decide. */
export interface ParameterTargets {
  readonly target_parameters: readonly string[] | null;
}

/** The name of a module's weight, as `target_parameters` and the patterns of such targets see it. */
const weightName = (path: string): string => `${path}.weight`;

/** Which of the names mean the weight of this module, by PEFT's rule: its whole name, or the end of it behind a dot. */
export function parameterNamesOf({ target_parameters: names }: ParameterTargets, path: string): string[] {
  const weight = weightName(path);
  return (names ?? []).filter((name) => weight === name || weight.endsWith(`.${name}`));
}

/** What `rank_pattern` and `alpha_pattern` are matched with: a module's path, or for a parameter the name of that. */
export function patternPath(config: ParameterTargets, path: string): string {
  return parameterNamesOf(config, path).length > 0 ? weightName(path) : path;
}
