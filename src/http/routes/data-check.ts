import { fail } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { requireWriter } from '../role.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { dataCheck, dataCheckOf, dataCheckRequest } from '../wire/data-check.ts';
import { jobRequestOf } from '../wire/fine-tuning.ts';

export const checkDataRoute: Route = {
  method: 'post',
  path: '/api/data/check',
  access: 'key',
  doc: {
    summary:
      'Look at a file as a fine-tuning job would: every problem with its line, what would be learned, what it would cost',
    operationId: 'checkData',
    request: { body: { required: true, content: { 'application/json': { schema: dataCheckRequest } } } },
    responses: {
      200: jsonContent('What is in it, also when it cannot be trained on', dataCheck),
      ...errorDocs({
        400: 'The body is malformed',
        401: 'The API key is missing or wrong',
        403: 'The key may ask models only',
        404: 'The file is unknown, or is another tenant’s; or the model is no base of this server',
        413: 'The body is too large',
      }),
    },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { file, preview, ...asked } = parseBody(dataCheckRequest, await readJson(request, maxBodyBytes));
    const job = jobRequestOf({ ...asked, training_file: file });
    if ('problem' in job) return fail('REQUEST_INVALID', job.problem, { param: 'method' });
    return Response.json(dataCheckOf(file, await services.data.check(principal, job, preview)));
  },
};
