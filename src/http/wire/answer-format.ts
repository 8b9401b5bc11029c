import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import { limits, parseJson } from '../../formats/index.ts';
import type { AnswerFormat } from '../requests.ts';

/**
 * What the answer must look like: OpenAI's `response_format`, and vLLM's `structured_outputs` with its older `guided_…` names. All are
 * enforced while the answer is made.
 */

const NOT_HERE = 'is not supported here: leave it out';
const notHere = z
  .unknown()
  .refine((value) => value == null, NOT_HERE)
  .optional()
  .openapi({ type: 'null', description: 'Only null.' });

const schema = z.union([z.looseObject({}), z.boolean()]);
const schemaOrText = z.union([schema, z.string()]);
const choices = z.array(z.string()).min(1);

const responseFormat = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -'),
      description: z.string().nullish(),
      schema,
      strict: z.boolean().nullish().openapi({ description: 'The schema is enforced either way.' }),
    }),
  }),
]);

export const answerFormatFields = {
  response_format: responseFormat.nullish(),
  structured_outputs: z
    .strictObject({
      json: schemaOrText.nullish(),
      regex: z.string().nullish(),
      choice: choices.nullish(),
      json_object: z.boolean().nullish(),
      grammar: notHere,
      structural_tag: notHere,
      disable_fallback: notHere,
      disable_any_whitespace: notHere,
      disable_additional_properties: notHere,
      whitespace_pattern: notHere,
    })
    .nullish()
    .openapi({ description: 'One of json (a schema), regex, choice, json_object.' }),
  guided_json: schemaOrText.nullish().openapi({ description: 'The older name of structured_outputs.json.' }),
  guided_regex: z.string().nullish().openapi({ description: 'The older name of structured_outputs.regex.' }),
  guided_choice: choices.nullish().openapi({ description: 'The older name of structured_outputs.choice.' }),
  guided_grammar: notHere,
  guided_decoding_backend: notHere,
  guided_whitespace_pattern: notHere,
};

const body = z.object(answerFormatFields);

/** Null: text. @throws REQUEST_INVALID when two fields say it, or a schema is given as text that is not JSON */
export function answerFormatOf(given: z.output<typeof body>): AnswerFormat | null {
  const { response_format: format, structured_outputs: structured } = given;
  const found: AnswerFormat[] = [];
  if (format?.type === 'json_object') found.push({ kind: 'json-object', param: 'response_format' });
  if (format?.type === 'json_schema') {
    const param = 'response_format.json_schema.schema';
    found.push({ kind: 'json-schema', schema: format.json_schema.schema, param });
  }
  const ways = [
    { at: 'structured_outputs.json', json: structured?.json },
    { at: 'structured_outputs.regex', regex: structured?.regex },
    { at: 'structured_outputs.choice', choice: structured?.choice },
    { at: 'guided_json', json: given.guided_json },
    { at: 'guided_regex', regex: given.guided_regex },
    { at: 'guided_choice', choice: given.guided_choice },
  ];
  for (const { at: param, json, regex, choice } of ways) {
    if (json != null) found.push({ kind: 'json-schema', schema: schemaOf(json, param), param });
    if (regex != null) found.push({ kind: 'regex', pattern: regex, param });
    if (choice != null) found.push({ kind: 'choice', choices: choice, param });
  }
  if (structured?.json_object === true) found.push({ kind: 'json-object', param: 'structured_outputs.json_object' });
  const [first, second] = found;
  if (first && second) {
    fail('REQUEST_INVALID', `${first.param} and ${second.param} both say what the answer looks like: send one`, {
      param: second.param,
    });
  }
  if (structured && !first) {
    const message = 'structured_outputs must have one of json, regex, choice and json_object';
    fail('REQUEST_INVALID', message, { param: 'structured_outputs' });
  }
  return first ?? null;
}

function schemaOf(given: unknown, param: string): unknown {
  if (typeof given !== 'string') return given;
  const parsed = parseJson(Buffer.from(given), limits.MAX_BODY_DEPTH);
  return 'problem' in parsed
    ? fail('REQUEST_INVALID', `${param}: the text ${parsed.problem}`, { param })
    : parsed.value;
}
