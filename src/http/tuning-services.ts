import type {
  FilePage,
  FilePurpose,
  EventPage,
  Job,
  JobCheckpoint,
  JobCommand,
  JobEvent,
  JobMethod,
  JobPage,
  JobPeft,
  Listed,
  RequestedHyperparameters,
  StoredFile,
  Upload,
  UploadPart,
} from '../jobs/index.ts';
import type { Principal } from '../tenancy/index.ts';

/** What is told of a file beside its bytes. */
export interface FileFields {
  readonly filename: string;
  readonly purpose: FilePurpose;
  /** Null: it is kept until it is deleted. */
  readonly lifetimeMs: number | null;
}

export interface UploadRequest extends FileFields {
  readonly mimeType: string;
  readonly sizeBytes: number;
}

/** A tenant's files. All throw STORED_FILE_NOT_FOUND or UPLOAD_NOT_FOUND for what is another tenant's, as for what is not there. */
export interface FileServices {
  /** Stores a file as it comes; `fields` are asked for behind its last byte. @throws REQUEST_INVALID it is too large */
  create(
    principal: Principal,
    chunks: AsyncIterable<Uint8Array>,
    fields: () => Promise<FileFields>,
  ): Promise<StoredFile>;
  get(principal: Principal, id: string): StoredFile;
  list(principal: Principal, page: FilePage): Listed<StoredFile>;
  delete(principal: Principal, id: string): StoredFile;
  content(principal: Principal, id: string): { readonly file: StoredFile; readonly stream: ReadableStream<Uint8Array> };
  createUpload(principal: Principal, upload: UploadRequest): Upload;
  /** @param isWhole settles when nothing more comes; the part counts only then */
  addPart(
    principal: Principal,
    upload: string,
    chunks: AsyncIterable<Uint8Array>,
    isWhole: Promise<unknown>,
  ): Promise<UploadPart>;
  /** @throws REQUEST_INVALID the parts do not make what was announced */
  completeUpload(
    principal: Principal,
    upload: string,
    partIds: readonly string[],
    md5: string | null,
  ): Promise<{ readonly upload: Upload; readonly file: StoredFile }>;
  cancelUpload(principal: Principal, upload: string): Upload;
}

/** How a job's adapter is to be made; null: as the server has it. */
export type RequestedPeft = { readonly [Field in keyof JobPeft]: JobPeft[Field] | null };

/** A job as it is asked. */
export interface JobRequest {
  readonly model: string;
  readonly method: JobMethod;
  readonly hyperparameters: RequestedHyperparameters;
  readonly peft: RequestedPeft;
  readonly trainingFile: string;
  readonly validationFile: string | null;
  readonly suffix: string | null;
  /** Null: one is drawn. */
  readonly seed: number | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Fine-tuning jobs. All throw JOB_NOT_FOUND for another tenant's, as for what is not there. */
export interface JobServices {
  /** @throws REQUEST_INVALID MODEL_NOT_FOUND STORED_FILE_NOT_FOUND */
  create(principal: Principal, request: JobRequest): Job;
  get(principal: Principal, id: string): Job;
  list(principal: Principal, page: JobPage): Listed<Job>;
  /** @throws REQUEST_INVALID the job’s state does not let it */
  command(principal: Principal, id: string, command: JobCommand): Job;
  events(principal: Principal, id: string, page: EventPage): Listed<JobEvent>;
  checkpoints(principal: Principal, id: string, limit: number, after: string | undefined): Listed<JobCheckpoint>;
}

/** Something that is wrong with a file. */
export interface FileProblem {
  /** In the file; null: of the file as a whole. */
  readonly line: number | null;
  readonly message: string;
}

/** What is in a file that can be trained on. Lengths are in tokens. */
export interface DataContent {
  readonly form: string;
  readonly examples: number;
  readonly tokens: number;
  readonly learnedTokens: number;
  readonly contextLength: number;
  readonly lengths: { readonly p50: number; readonly p95: number; readonly max: number };
  /** Of labelled examples: how many have each label. */
  readonly labels?: readonly { readonly label: string; readonly examples: number }[];
  /** The first examples, cut where learned and given tokens meet; weight 0 is given. */
  readonly preview: readonly {
    readonly line: number;
    readonly spans: readonly { readonly text: string; readonly weight: number }[];
  }[];
}

/** The run that a job would be, and what it would cost by the plan. */
export interface RunEstimate {
  readonly batchSize: number;
  readonly numEpochs: number;
  readonly learningRateMultiplier: number;
  readonly beta: number | null;
  readonly peft: JobPeft;
  readonly steps: number;
  readonly trainedTokens: number;
  readonly trainableParameters: number;
  readonly adapterBytes: number;
  readonly memoryBytes: number;
  readonly seconds: number;
  /** By what this machine was measured to do. */
  readonly calibrated: boolean;
}

export interface DataCheck {
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
  /** Null where there are problems. */
  readonly data: DataContent | null;
  readonly estimate: RunEstimate | null;
}

export interface DataServices {
  /**
   * Looks at a job's training file as the job would, and estimates the job.
   * @param preview examples to show
   * @throws STORED_FILE_NOT_FOUND MODEL_NOT_FOUND; REQUEST_INVALID the file is not there to be trained on
   */
  check(principal: Principal, job: JobRequest, preview: number): Promise<DataCheck>;
}
