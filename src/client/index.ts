/**
 * client: a typed client of the HTTP API, its types and operations made from the schemas that the server checks requests by.
 * Owns: the shapes of calls; nothing is kept between them.
 * May import: nothing.   Called by: programs that use the package (`espalier/client`).
 * Runs on: Node, browsers, anything that has fetch; it needs neither the kernels nor a home folder.
 * Throws: nothing of base/errors.ts: what the server answers with an error is an ApiError.
 */
export { ApiError } from './api-error.ts';
export { EspalierClient, type Answered, type CallOptions, type ClientOptions } from './client.ts';
export { OPERATIONS } from './operations.ts';
export type { OperationId, Input, Answer, StreamedId, StreamEvent } from './operation.ts';
export type * from './operations.ts';
export type * from './shapes.ts';
