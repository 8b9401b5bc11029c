/**
 * Every kind of answer, from a real server through our own client: each is of the schema that /openapi.json promises, and what is promised is
 * what the official client's types take. `npm run peers:openai-schema` holds the same answers to OpenAI's published schema.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type OpenAI from 'openai';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  CompletionChunk,
  Operations,
  DeleteFileResponse,
  EmbeddingList,
  FineTuningJob,
  FineTuningJobCheckpoint,
  FineTuningJobEvent,
  Model,
  OpenAIFile,
  Upload,
  UploadPart,
} from '../../../src/client/index.ts';
import { apiDescription, operationsOf, type ApiDescription } from '../../../tools/api-description.ts';
import { collectAnswers, type GivenAnswer } from '../../support/api-answers.ts';
import { NamedSchemas } from '../../support/json-schemas.ts';

let answers: readonly GivenAnswer[];
let description: ApiDescription;
before(async () => {
  description = await apiDescription();
  answers = await collectAnswers();
});

/** What `/openapi.json` says that an answer is. */
function schemaOf({ operation, kind, status }: GivenAnswer): Record<string, unknown> {
  const found = operationsOf(description).find(({ operationId }) => operationId === operation);
  assert.ok(found, operation);
  const content = found.responses[status]?.content;
  assert.ok(content, `${operation} says nothing of status ${status}`);
  const schema = content[kind === 'event' ? 'text/event-stream' : 'application/json']?.schema;
  assert.ok(schema, `${operation}: ${kind}`);
  return schema;
}

test('every answer is of the schema that the description has for it', () => {
  const schemas = new NamedSchemas(description.components.schemas);
  assert.ok(answers.length >= 50, `${answers.length} answers`);
  for (const answer of answers) {
    assert.deepEqual(schemas.problemsBy(schemaOf(answer), answer.body), [], `${answer.operation} ${answer.kind}`);
  }
});

test('the check finds an answer that lacks a field, or has one of another type', () => {
  const schemas = new NamedSchemas(description.components.schemas);
  for (const operation of ['createChatCompletion', 'createFile', 'retrieveFineTuningJob'] as const) {
    const answer = answers.find((one) => one.operation === operation && one.kind === 'answer');
    assert.ok(answer);
    const { id: _, ...without } = answer.body as { id: string };
    assert.match(schemas.problemsBy(schemaOf(answer), without).join(), /must have required property 'id'/);
    const other = { ...(answer.body as object), id: 1 };
    assert.match(schemas.problemsBy(schemaOf(answer), other).join(), /\/id must be string/);
  }
});

test('there is an answer of every operation of OpenAI’s that the server has', () => {
  const answered = new Set(answers.filter(({ kind }) => kind === 'answer').map(({ operation }) => operation as string));
  // A file's bytes are no document; pausing and resuming answer what cancelling does; classification is vLLM's.
  const others = ['downloadFile', 'pauseFineTuningJob', 'resumeFineTuningJob', 'createClassification'];
  const missing = operationsOf(description)
    .filter(({ path, operationId }) => path.startsWith('/v1/') && !/lora/i.test(path) && !others.includes(operationId))
    .filter(({ operationId }) => !answered.has(operationId));
  assert.deepEqual(
    missing.map(({ operationId }) => operationId),
    [],
  );
});

/** Without the types of exactOptionalPropertyTypes, which the client's own types are not written for. */
type Loose<T> = T extends (infer Item)[]
  ? Loose<Item>[]
  : T extends object
    ? { [Key in keyof T]: Loose<T[Key]> | (object extends Pick<T, Key> ? undefined : never) }
    : T;

/** Compiles only where every value of ours is one that the official client's type has. */
function isTaken<Theirs, Ours extends Loose<Theirs>>(...samples: Ours[]): boolean {
  return samples.length === 0;
}

test('what is promised is what the types of the official client take', () => {
  type Chat = OpenAI.ChatCompletion;
  type Jobs = OpenAI.FineTuning.FineTuningJob;
  const taken = [
    isTaken<Chat, ChatCompletion>(),
    isTaken<OpenAI.ChatCompletionChunk, ChatCompletionChunk>(),
    isTaken<OpenAI.CreateEmbeddingResponse['usage'], EmbeddingList['usage']>(),
    isTaken<OpenAI.Model, Model>(),
    isTaken<OpenAI.FileObject, OpenAIFile>(),
    isTaken<OpenAI.FileDeleted, DeleteFileResponse>(),
    isTaken<OpenAI.Upload, Upload>(),
    isTaken<OpenAI.Uploads.UploadPart, UploadPart>(),
    isTaken<Omit<Jobs, 'status' | 'method'>, Omit<FineTuningJob, 'status' | 'method'>>(),
    isTaken<OpenAI.FineTuning.FineTuningJobEvent, FineTuningJobEvent>(),
    isTaken<OpenAI.FineTuning.Jobs.FineTuningJobCheckpoint, FineTuningJobCheckpoint>(),
    // Of the documented differences: null where an echoed prompt begins, and in the chunks before the last.
    isTaken<Omit<OpenAI.Completion, 'choices'>, Omit<Completion, 'choices'>>(),
    isTaken<Omit<OpenAI.Completion, 'choices'>, Omit<CompletionChunk, 'choices' | 'usage'>>(),
    // A chunk's usage may be null, which OpenAI's text says of both kinds of chunks and its types of a chat's only.
    isTaken<OpenAI.ChatCompletionChunk['usage'], CompletionChunk['usage']>(),
    // @ts-expect-error a chat is no file
    isTaken<OpenAI.FileObject, ChatCompletion>(),
    // @ts-expect-error a field that the client reads must be there
    isTaken<Chat, Omit<ChatCompletion, 'choices'>>(),
    // @ts-expect-error the method classification, which OpenAI does not have
    isTaken<Jobs['method'], FineTuningJob['method']>(),
    // @ts-expect-error the one status that OpenAI has no name for
    isTaken<Jobs['status'], Operations['retrieveFineTuningJob']['answer']['status']>(),
  ];
  assert.ok(taken.every(Boolean));
});
