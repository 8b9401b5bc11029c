/** What a fine-tuning job has come to, asked of its server as a client does: what must be the same however often it was interrupted. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';

async function finished(client: OpenAI, id: string): Promise<OpenAI.FineTuning.FineTuningJob> {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (job.finished_at !== null) return job;
    await sleep(50);
  }
}

/** What a job has come to, without the names that are its own. */
export async function outcomeOf(client: OpenAI, id: string) {
  const job = await finished(client, id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  const { jobs } = client.fineTuning;
  const messages = new Map<string, number>();
  const steps: number[] = [];
  for await (const { type, message, data } of jobs.listEvents(id, { limit: 1000 })) {
    if (type === 'metrics') steps.push((data as { step: number }).step);
    else messages.set(message, (messages.get(message) ?? 0) + 1);
  }
  for (const message of ['Files validated, moving job to queued state.', 'The job has successfully completed.']) {
    assert.equal(messages.get(message), 1, `${message} is told once`);
  }
  assert.deepEqual(
    steps,
    steps.map((_, n) => steps.length - n),
    'every step is told once, in order',
  );
  const checkpoints = [];
  for await (const { step_number, metrics, fine_tuned_model_checkpoint: model } of jobs.checkpoints.list(id)) {
    checkpoints.push({ step_number, metrics, digest: await digestOf(client, model) });
  }
  assert.equal(checkpoints.length, 3);
  const [result] = job.result_files;
  const csv = await (await client.files.content(result)).text();
  assert.equal(job.result_files.length, 1);
  assert.ok(job.fine_tuned_model);
  return {
    csv,
    checkpoints,
    digest: await digestOf(client, job.fine_tuned_model),
    trainedTokens: job.trained_tokens,
    numSteps: steps.length,
  };
}

/** The adapter that answers by a name. */
async function digestOf(client: OpenAI, model: string): Promise<string> {
  const messages = [{ role: 'user' as const, content: 'what is 3?' }];
  const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 2 });
  assert.equal(answer.model, model);
  return answer.system_fingerprint ?? '';
}
