/** An answer of the server that is an error. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** The error's stable name, such as `model_not_found`. */
  readonly code: string | null;
  readonly type: string | null;
  /** The field of the request that is wrong. */
  readonly param: string | null;
  /** What the server's log calls the request. */
  readonly requestId: string | null;

  constructor(status: number, body: unknown, requestId: string | null) {
    const { message, code, type, param } = fieldsOf(body);
    super(message ?? `the server answered with status ${status}`);
    this.status = status;
    this.code = code;
    this.type = type;
    this.param = param;
    this.requestId = requestId;
  }
}

type Fields = Record<'message' | 'code' | 'type' | 'param', string | null>;

/** OpenAI's body of an error; a proxy between may answer with anything. */
function fieldsOf(body: unknown): Fields {
  const error: unknown = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  const field = (name: string): string | null => {
    const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
    return typeof value === 'string' ? value : null;
  };
  return { message: field('message'), code: field('code'), type: field('type'), param: field('param') };
}
