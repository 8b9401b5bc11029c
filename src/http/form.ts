import { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import { EspalierError, errorMessage, fail } from '../base/index.ts';
import type { z } from '@hono/zod-openapi';
import { parseBody } from './body.ts';
import { HttpError } from './error-response.ts';

/** A form with one file. */
export interface FileForm<Fields> {
  readonly filename: string;
  /** The file's bytes, as they come. They must be read to the end, or `fields` never settles. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** The other fields, those behind the file too: known when the whole form has come, and rejected when they are wrong. */
  readonly fields: Promise<Fields>;
}

const MAX_FIELDS = 16;
const MAX_FIELD_BYTES = 4096;

/**
 * Reads a `multipart/form-data` body as it comes: a file of any size is never in memory as a whole.
 * @param fileField the name of the file's field
 * @param schema of the other fields
 * @throws HttpError 415; REQUEST_INVALID there is no such file in it, or it breaks off
 */
export async function readFileForm<Schema extends z.ZodType>(
  request: Request,
  fileField: string,
  schema: Schema,
): Promise<FileForm<z.output<Schema>>> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^multipart\/form-data\b/i.test(type) || !request.body) {
    throw new HttpError(415, 'unsupported_media_type', `send multipart/form-data with the field ${fileField}`);
  }
  const parser = openParser(type);
  const { promise: file, resolve: give, reject: refuse } = Promise.withResolvers<FileForm<z.output<Schema>>>();
  const { promise: whole, resolve: end, reject: breakOff } = Promise.withResolvers<Record<string, string>>();
  const fields = whole.then((values) => parseBody(schema, values));
  // Whoever reads the file hears of it by the file as well.
  fields.catch(() => undefined);
  const found: Record<string, string> = {};
  let stream: Readable | undefined;
  const failForm = (error: unknown): void => {
    const known = asRefusal(error, request.signal);
    refuse(known);
    breakOff(known);
    if (known instanceof Error) stream?.destroy(known);
  };
  const invalid = (message: string, param: string): void => {
    failForm(new EspalierError('REQUEST_INVALID', message, { param }));
  };
  parser.on('file', (name, chunks, filename) => {
    if (name === fileField && stream === undefined) {
      stream = chunks;
      // A form that is refused before anybody reads its file, or after a route has refused it, has no one else to hear of that: Node would end the process.
      chunks.on('error', () => undefined);
      give({ filename: filename === '' ? fileField : filename, chunks, fields });
      return;
    }
    chunks.resume();
    invalid(`${name} is one file too many: send one, as ${fileField}`, name);
  });
  parser.on('field', (name, value, isNameCut, isCut) => {
    if (isNameCut || isCut) invalid(`${name} is longer than ${MAX_FIELD_BYTES} bytes`, name);
    else if (Object.hasOwn(found, name)) invalid(`${name} is there twice`, name);
    else Object.defineProperty(found, name, { value, enumerable: true });
  });
  parser.on('fieldsLimit', () => invalid(`the form has more than ${MAX_FIELDS} fields`, 'fields'));
  parser.on('error', failForm);
  parser.on('finish', () => {
    if (!stream) invalid(`${fileField} is missing: send it as a file of the form`, fileField);
    end(found);
  });
  const source = Readable.fromWeb(request.body);
  source.on('error', failForm);
  source.pipe(parser);
  return file;
}

function openParser(type: string): InstanceType<typeof Busboy> {
  try {
    return new Busboy({
      headers: { 'content-type': type },
      limits: { fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, files: 2 },
      // OpenAI's clients name every file; a field with a content type of its own is no file without a name.
      isPartAFile: (_, __, filename) => filename !== undefined,
    });
  } catch (error) {
    return fail('REQUEST_INVALID', `the form cannot be read: ${errorMessage(error)}`, { cause: error });
  }
}

/** A client that has gone is told apart by the caller; all else is a broken form. */
function asRefusal(error: unknown, left: AbortSignal): unknown {
  if (left.aborted || error instanceof EspalierError) return error;
  return new EspalierError('REQUEST_INVALID', `the form cannot be read: ${errorMessage(error)}`, { cause: error });
}
