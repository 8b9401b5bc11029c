/** How a family of models writes tool calls in its answers: a JSON object with the tool's name and its arguments. */
export interface ToolSyntax {
  readonly name: 'hermes' | 'llama3-json';
  /** What announces a call anywhere in an answer; empty: an answer that is calls begins with the first one's brace. */
  readonly marker: string;
  /** Between marker and JSON. */
  readonly lead: string;
  /** After the JSON. */
  readonly end: string;
  /** Between two calls. */
  readonly separator: string;
  /** The key of the arguments; the tool's name is under `name`, before it. */
  readonly argumentsKey: 'arguments' | 'parameters';
}

/** Hermes 2 and 3, Qwen 2.5 and 3: `<tool_call>` and JSON. Also the syntax that tool-text.ts asks for. */
export const HERMES: ToolSyntax = {
  name: 'hermes',
  marker: '<tool_call>',
  lead: '\n',
  end: '\n</tool_call>',
  separator: '\n',
  argumentsKey: 'arguments',
};

/** Llama 3.1 to 3.3: the answer is JSON with `parameters`. */
export const LLAMA3_JSON: ToolSyntax = {
  name: 'llama3-json',
  marker: '',
  lead: '',
  end: '',
  separator: '; ',
  argumentsKey: 'parameters',
};

/** Whether a chat template does anything with tools. */
export function takesTools(template: string): boolean {
  return /\btools\b/.test(template);
}

/**
 * The syntax in which a model with this chat template calls tools. A template that knows no tools gets them as text, which asks
 * for Hermes' syntax. Undefined: the template takes tools, but in a syntax that is not known here.
 */
export function toolSyntaxOf(template: string): ToolSyntax | undefined {
  if (!takesTools(template)) return HERMES;
  // Qwen3-Coder writes XML inside the same tags.
  if (template.includes('<tool_call>') && !template.includes('<function=')) return HERMES;
  if (/['"]parameters\\?['"]:/.test(template) && /ipython|python_tag/.test(template)) return LLAMA3_JSON;
  return undefined;
}

/** A call up to its arguments, which follow as JSON. */
export function callBegin({ marker, lead, argumentsKey }: ToolSyntax, name: string): string {
  return `${marker}${lead}{"name": ${JSON.stringify(name)}, "${argumentsKey}": `;
}

/** What follows the arguments of a call. */
export function callEnd({ end }: ToolSyntax): string {
  return `}${end}`;
}
