import { z } from '@hono/zod-openapi';
import type { FileFields } from '../tuning-services.ts';
import type { StoredFile, Upload, UploadPart } from '../../jobs/index.ts';
import { orNull } from './or-null.ts';
import { list } from './page.ts';

/** OpenAI's: an hour to a month. */
const MIN_LIFETIME_S = 3_600;
const MAX_LIFETIME_S = 2_592_000;
const MAX_FILENAME = 512;

const purpose = z.literal('fine-tune').openapi({ description: 'What it is for: data to train on.' });
const seconds = z.int().min(MIN_LIFETIME_S).max(MAX_LIFETIME_S);
const expiresAfter = z
  .strictObject({ anchor: z.literal('created_at'), seconds })
  .openapi('FileExpirationAfter', { description: 'When it is removed; never unless told.' });

/** The fields of the form that comes with a file; brackets are how forms write objects. */
export const fileFields = z.strictObject({
  purpose,
  'expires_after[anchor]': z.literal('created_at').optional(),
  'expires_after[seconds]': z.coerce.number().pipe(seconds).optional(),
});

/** For the description: what a form with a file has. */
export const fileForm = z
  .object({
    file: z.any().openapi({ type: 'string', format: 'binary', description: 'JSON Lines: one example a line.' }),
    purpose,
    expires_after: expiresAfter.optional(),
  })
  .openapi('CreateFileRequest');

export const partForm = z
  .object({ data: z.any().openapi({ type: 'string', format: 'binary', description: 'At most 64 MB.' }) })
  .openapi('AddUploadPartRequest');

export const uploadRequest = z
  .strictObject({
    filename: z.string().min(1).max(MAX_FILENAME),
    purpose,
    bytes: z.int().min(1).openapi({ description: 'What the parts add up to.' }),
    mime_type: z.string().max(256),
    expires_after: expiresAfter.optional(),
  })
  .openapi('CreateUploadRequest');

export const completeUploadRequest = z
  .strictObject({
    part_ids: z.array(z.string()).min(1).max(10_000),
    md5: z
      .string()
      .regex(/^[0-9a-fA-F]{32}$/, 'must be 32 hexadecimal digits')
      .optional()
      .openapi({ description: 'Of the whole file.' }),
  })
  .openapi('CompleteUploadRequest');

export const fileObject = z
  .object({
    id: z.string(),
    object: z.literal('file'),
    bytes: z.int(),
    created_at: z.int(),
    expires_at: z.int().optional(),
    filename: z.string(),
    purpose: z.enum(['fine-tune', 'fine-tune-results']),
    status: z.enum(['uploaded', 'processed', 'error']),
    status_details: z.string().optional().openapi({ description: 'What is wrong with it, with its lines.' }),
  })
  .openapi('OpenAIFile');

export const fileList = list(fileObject)
  .extend({ first_id: z.string().nullable(), last_id: z.string().nullable() })
  .openapi('ListFilesResponse');

export const deletedFile = z
  .object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })
  .openapi('DeleteFileResponse');

export const uploadObject = z
  .object({
    id: z.string(),
    object: z.literal('upload'),
    bytes: z.int(),
    created_at: z.int(),
    expires_at: z.int(),
    filename: z.string(),
    purpose: z.string(),
    status: z.enum(['pending', 'completed', 'cancelled', 'expired']),
    file: orNull(fileObject),
  })
  .openapi('Upload');

export const partObject = z
  .object({ id: z.string(), object: z.literal('upload.part'), created_at: z.int(), upload_id: z.string() })
  .openapi('UploadPart');

export function fieldsOf(filename: string, fields: z.output<typeof fileFields>): FileFields {
  return {
    filename: filename.slice(0, MAX_FILENAME),
    purpose: fields.purpose,
    lifetimeMs: lifetimeOf(fields['expires_after[seconds]']),
  };
}

export function lifetimeOf(lifetimeSeconds: number | undefined): number | null {
  return lifetimeSeconds === undefined ? null : lifetimeSeconds * 1000;
}

export function fileOf(file: StoredFile): z.output<typeof fileObject> {
  return {
    id: file.id,
    object: 'file',
    bytes: file.sizeBytes,
    created_at: secondsOf(file.createdAt),
    ...(file.expiresAt !== null && { expires_at: secondsOf(file.expiresAt) }),
    filename: file.filename,
    purpose: file.purpose,
    status: file.problem === null ? 'processed' : 'error',
    ...(file.problem !== null && { status_details: file.problem }),
  };
}

export function uploadOf(upload: Upload, file: StoredFile | null): z.output<typeof uploadObject> {
  return {
    id: upload.id,
    object: 'upload',
    bytes: upload.sizeBytes,
    created_at: secondsOf(upload.createdAt),
    expires_at: secondsOf(upload.expiresAt),
    filename: upload.filename,
    purpose: upload.purpose,
    status: upload.status,
    file: file && fileOf(file),
  };
}

export function partOf({ id, upload, createdAt }: UploadPart): z.output<typeof partObject> {
  return { id, object: 'upload.part', created_at: secondsOf(createdAt), upload_id: upload };
}

export function secondsOf(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
