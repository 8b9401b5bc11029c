/** One real answer of every kind that the API gives: a tiny server, its own client, a fine-tuning job from its data to its model. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, EspalierClient, type OperationId } from '../../src/client/index.ts';
import { startTinyServer } from './tiny-server.ts';
import { chatLines } from './tuning-data.ts';

export interface GivenAnswer {
  readonly operation: OperationId;
  /** An event of a stream is an answer of its own. */
  readonly kind: 'answer' | 'event' | 'error';
  readonly status: number;
  readonly body: unknown;
}

/** Answers in the order in which they came. */
export async function collectAnswers(): Promise<GivenAnswer[]> {
  await using server = await startTinyServer({
    adapters: { 'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] } },
  });
  const answers: GivenAnswer[] = [];
  const client = new EspalierClient({ baseUrl: server.url, apiKey: server.keyOf('acme'), maxRetries: 0 });
  /** Calls and keeps what came. */
  const call: EspalierClient['call'] = async (operation, ...args) => {
    try {
      const answer = await client.call(operation, ...args);
      answers.push({ operation, kind: 'answer', status: 200, body: answer });
      return answer;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { message, type, param, code, status } = error;
      answers.push({ operation, kind: 'error', status, body: { error: { message, type, param, code } } });
      throw error;
    }
  };
  const refused = async (promise: Promise<unknown>): Promise<void> => {
    const answered = await promise.then(
      () => true,
      () => false,
    );
    if (answered) throw new Error('it was to be refused');
  };

  const messages = [{ role: 'user' as const, content: 'hello' }];
  const chat = { model: 'acme/reply', messages, max_completion_tokens: 4, temperature: 0 };
  const tools = [{ type: 'function' as const, function: { name: 'now', parameters: { type: 'object' } } }];
  await call('createChatCompletion', { body: { ...chat, logprobs: true, top_logprobs: 2, n: 2 } });
  await call('createChatCompletion', { body: { ...chat, prediction: { type: 'content', content: 'hello' } } });
  await call('createChatCompletion', {
    body: { ...chat, tools, tool_choice: 'required', max_completion_tokens: 200, metadata: { user: 'x' } },
  }).catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
  });
  const text = { model: 'tiny', prompt: ['one', 'two'], max_tokens: 3, logprobs: 2, echo: true };
  await call('createCompletion', { body: text });
  for (const include_usage of [false, true]) {
    const stream_options = { include_usage };
    const chatted = { body: { ...chat, logprobs: true, stream_options } };
    for await (const body of client.stream('createChatCompletion', chatted)) {
      answers.push({ operation: 'createChatCompletion', kind: 'event', status: 200, body });
    }
    for await (const body of client.stream('createCompletion', { body: { ...text, stream_options } })) {
      answers.push({ operation: 'createCompletion', kind: 'event', status: 200, body });
    }
  }
  await call('createEmbedding', { body: { model: 'tiny', input: ['one', 'two'] } });
  await call('listModels');
  await call('retrieveModel', { path: { model: 'acme/reply' } });

  const training = new File([chatLines(12)], 'train.jsonl');
  const { id: training_file } = await call('createFile', {
    body: { file: training, purpose: 'fine-tune', expires_after: { anchor: 'created_at', seconds: 3600 } },
  });
  const { id: broken } = await call('createFile', {
    body: { file: new File(['no json\n'], 'x.jsonl'), purpose: 'fine-tune' },
  });
  const upload = await call('createUpload', {
    body: {
      filename: 'valid.jsonl',
      purpose: 'fine-tune',
      bytes: chatLines(4, 12).length,
      mime_type: 'application/jsonl',
    },
  });
  const path = { upload_id: upload.id };
  const part = await call('addUploadPart', { path, body: { data: new Blob([chatLines(4, 12)]) } });
  const completed = await call('completeUpload', { path, body: { part_ids: [part.id] } });
  const validation_file = completed.file?.id ?? null;
  const given = await call('createUpload', {
    body: { filename: 'not.jsonl', purpose: 'fine-tune', bytes: 4, mime_type: 'application/jsonl' },
  });
  await call('cancelUpload', { path: { upload_id: given.id } });
  await call('listFiles', { query: { limit: 2 } });
  await call('retrieveFile', { path: { file_id: training_file } });

  const hyperparameters = { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 1 };
  const { id } = await call('createFineTuningJob', {
    body: {
      model: 'tiny',
      training_file,
      validation_file,
      suffix: 'parity',
      metadata: { of: 'x' },
      method: { type: 'supervised', supervised: { hyperparameters } },
    },
  });
  const job = { path: { fine_tuning_job_id: id } };
  await untilDone(client, id);
  await call('retrieveFineTuningJob', job);
  await call('listFineTuningEvents', { ...job, query: { limit: 100 } });
  await call('listFineTuningJobCheckpoints', job);
  const failing = await call('createFineTuningJob', { body: { model: 'tiny', training_file: broken } }).catch(
    () => null,
  );
  if (failing) {
    await untilDone(client, failing.id);
    await call('retrieveFineTuningJob', { path: { fine_tuning_job_id: failing.id } });
  }
  const preferences = new File([preferenceLines(6)], 'preferences.jsonl');
  const dpo = await call('createFile', { body: { file: preferences, purpose: 'fine-tune' } });
  const queued = await call('createFineTuningJob', {
    body: { model: 'tiny', training_file: dpo.id, method: { type: 'dpo', dpo: { hyperparameters: { beta: 0.2 } } } },
  });
  await call('cancelFineTuningJob', { path: { fine_tuning_job_id: queued.id } });
  await call('listPaginatedFineTuningJobs', { query: { limit: 2 } });
  await call('deleteFile', { path: { file_id: broken } });

  await refused(call('createChatCompletion', { body: { ...chat, model: 'acme/nothing' } }));
  await refused(call('createChatCompletion', { body: { ...chat, n: 100 } }));
  await refused(call('retrieveFile', { path: { file_id: 'file-none' } }));
  await refused(call('retrieveFineTuningJob', { path: { fine_tuning_job_id: 'ftjob-none' } }));
  return answers;
}

async function untilDone(client: EspalierClient, id: string): Promise<void> {
  for (;;) {
    const { status } = await client.call('retrieveFineTuningJob', { path: { fine_tuning_job_id: id } });
    if (['succeeded', 'failed', 'cancelled'].includes(status)) return;
    await sleep(50);
  }
}

/** Pairs in OpenAI's form. */
function preferenceLines(count: number): string {
  const line = (n: number): string => {
    const answer = (content: string): object[] => [{ role: 'assistant', content }];
    const input = { messages: [{ role: 'user', content: `what is ${n}?` }] };
    const pair = { input, preferred_output: answer('even'), non_preferred_output: answer('odd') };
    return `${JSON.stringify(pair)}\n`;
  };
  return Array.from({ length: count }, (_, n) => line(n)).join('');
}
