/** A thread that reads training files, so that a large one holds up no request. Started by {@link DataChecker}. */
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { assert, remoteError } from '../../base/index.ts';
import { parseTrainingFile } from '../../formats/index.ts';
import { openChatRenderer } from '../../text/index.ts';
import { describeOverlaps, examplesOf, findOverlaps } from '../../training/index.ts';
import { describeExamples } from '../data-preview.ts';
import type { CheckAnswer, CheckedData, CheckRequest } from './check-messages.ts';

const port = parentPort;
assert(port, 'this file runs on a thread of its own');
port.on('message', (request: CheckRequest) => {
  port.postMessage(answerTo(request));
});

function answerTo(request: CheckRequest): CheckAnswer {
  const { id } = request;
  try {
    return { id, data: check(request) };
  } catch (error) {
    return { id, error: remoteError(error) };
  }
}

function check({ path, name, base, preview }: CheckRequest): CheckedData {
  const file = parseTrainingFile(readFileSync(path), name);
  const counted = { form: file.form, examples: file.examples.length, tokens: 0 };
  if (!base) return counted;
  const renderer = openChatRenderer(base.path);
  const loaded = examplesOf(file, renderer, base.contextLength, undefined, base.labels);
  const found = { ...counted, tokens: loaded.numTokens, labels: loaded.labels };
  if (preview === undefined) return found;
  const repeated = describeOverlaps(findOverlaps(loaded, undefined, renderer.tokenizer));
  const warnings = [...loaded.warnings, ...repeated.map((message) => ({ where: name, message }))];
  return {
    ...found,
    described: { ...describeExamples(loaded, renderer, preview), warnings },
  };
}
