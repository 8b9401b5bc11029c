import type { ApiClient } from '../../api/client.ts';
import type { StoredFile } from '../../api/types.ts';

/** Uploads a file to train on. @throws ApiError */
export function uploadFile(api: ApiClient, file: File): Promise<StoredFile> {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', file);
  return api.json<StoredFile>('/v1/files', { method: 'POST', body: form });
}
