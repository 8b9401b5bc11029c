/** Tools in a chat request: what may be called, what was called, and what came of it. */
import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import type { ChatMessage } from '../../formats/index.ts';
import type { Tool, ToolUse } from '../requests.ts';
import { wellFormed } from './fates.ts';

const MAX_TOOLS = 128;

const functionName = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -')
  .openapi({ description: '1 to 64 letters, digits, _ or -.' });

const tool = z
  .strictObject({
    type: z.literal('function'),
    function: z.strictObject({
      name: functionName,
      description: wellFormed.nullish(),
      // A record keeps the order of its keys, which the model sees.
      parameters: z
        .record(z.string(), z.unknown())
        .nullish()
        .openapi({ description: 'JSON Schema of the arguments, an object. Left out: the function takes none.' }),
      strict: z.boolean().nullish().openapi({
        description: 'The arguments follow the schema, unless this is false: then they are any JSON object.',
      }),
    }),
  })
  .openapi('ChatTool');

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: functionName }) }),
]);

export const toolFields = {
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  tool_choice: toolChoice.nullish().openapi({
    description: 'auto unless told; required and a named function make an answer of calls, and none hides the tools.',
  }),
  parallel_tool_calls: z.boolean().nullish().openapi({ description: 'false: the answer ends with its first call.' }),
};

/** `tool_calls` of an assistant message; what the official client adds to those of an answer comes back. */
export const assistantToolCalls = z
  .array(
    z.strictObject({
      id: z.string().min(1),
      type: z.literal('function'),
      function: z.strictObject({
        name: functionName,
        arguments: wellFormed.openapi({ description: 'JSON as text.' }),
        parsed_arguments: z.unknown().optional().openapi({ description: 'Accepted; arguments is what counts.' }),
      }),
      index: z.int().nullish().openapi({ description: 'Accepted; the order is what counts.' }),
    }),
  )
  .nullish();

const NO_PARAMETERS = { type: 'object', properties: {}, additionalProperties: false };

const body = z.object(toolFields);

/** Null: no tool may be called. @throws REQUEST_INVALID for names given twice and for a choice that is not there */
export function toolUseOf({ tools, tool_choice, parallel_tool_calls }: z.output<typeof body>): ToolUse | null {
  const choice =
    typeof tool_choice === 'object' && tool_choice !== null ? tool_choice.function : (tool_choice ?? 'auto');
  if (!tools || tools.length === 0) {
    if (choice === 'none' || choice === 'auto') return null;
    return fail('REQUEST_INVALID', 'tool_choice asks for a call, but there are no tools', { param: 'tool_choice' });
  }
  const known = tools.map(toolOf);
  const names = known.map(({ name }) => name);
  const twice = names.findIndex((name, index) => names.indexOf(name) < index);
  if (twice >= 0) {
    const param = `tools[${twice}].function.name`;
    fail('REQUEST_INVALID', `${param} is ${names[twice]}, as is that of tools[${names.indexOf(names[twice])}]`, {
      param,
    });
  }
  if (typeof choice === 'object' && !names.includes(choice.name)) {
    fail('REQUEST_INVALID', `tool_choice names ${choice.name}, which is none of the tools`, { param: 'tool_choice' });
  }
  if (choice === 'none') return null;
  return { tools: known, choice, isParallel: parallel_tool_calls !== false };
}

/** A result must answer a call that was made before it. @throws REQUEST_INVALID */
export function checkToolResults(messages: readonly ChatMessage[]): void {
  const made = new Set<string | undefined>();
  for (const [index, { role, tool_calls: calls = [], tool_call_id: answered }] of messages.entries()) {
    for (const { id } of calls) made.add(id);
    if (role !== 'tool' || made.has(answered)) continue;
    const param = `messages[${index}].tool_call_id`;
    const message = `${param} must be the id of a call in a message before, got ${JSON.stringify(answered)}`;
    fail('REQUEST_INVALID', message, { param });
  }
}

function toolOf({ function: given }: z.output<typeof tool>, index: number): Tool {
  const { name, description, parameters, strict } = given;
  const param = `tools[${index}].function.parameters`;
  if (parameters?.['type'] !== undefined && parameters['type'] !== 'object') {
    const message = `${param}.type must be "object", got ${JSON.stringify(parameters['type'])}`;
    fail('REQUEST_INVALID', message, { param });
  }
  return {
    name,
    definition: {
      type: 'function',
      function: { name, ...(description != null && { description }), ...(parameters && { parameters }) },
    },
    parameters: parameters ? { type: 'object', ...parameters } : NO_PARAMETERS,
    isStrict: strict !== false,
    param,
  };
}
