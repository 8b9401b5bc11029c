/**
 * The life of a fine-tuning job:
 *
 * ```
 *                  ┌── paused ◄──┬───────────────┐
 *                  ▼             │ pause         │ pause
 * validating_files ──validated──► queued ──started──► running ──succeeded──► succeeded
 *        │ ▲                        ▲ │                │  │
 *        │ └── resume (unvalidated) │ │   released ────┘  └── failed ───────► failed
 *        └── rejected ──► failed    └─┴── resume (validated)
 * ```
 *
 * `cancel` leads from every state that is not final to cancelled. The last three states are final: nothing leaves them.
 */
export const JOB_STATUSES = [
  'validating_files',
  'queued',
  'running',
  'paused',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** What a tenant may order. */
export const JOB_COMMANDS = ['cancel', 'pause', 'resume'] as const;
export type JobCommand = (typeof JOB_COMMANDS)[number];

/** What a runner reports. `released`: it stops before the end, and another may go on. */
export const JOB_REPORTS = ['validated', 'rejected', 'started', 'released', 'succeeded', 'failed'] as const;
export type JobReport = (typeof JOB_REPORTS)[number];

type Transitions = Readonly<Record<JobStatus, Readonly<Partial<Record<JobCommand | JobReport, JobStatus>>>>>;

const TRANSITIONS: Transitions = {
  validating_files: {
    validated: 'queued',
    rejected: 'failed',
    failed: 'failed',
    released: 'validating_files',
    pause: 'paused',
    cancel: 'cancelled',
  },
  queued: { started: 'running', pause: 'paused', cancel: 'cancelled' },
  running: { succeeded: 'succeeded', failed: 'failed', released: 'queued', pause: 'paused', cancel: 'cancelled' },
  paused: { resume: 'queued', cancel: 'cancelled' },
  succeeded: {},
  failed: {},
  cancelled: {},
};

/**
 * The state after a command or a report; undefined: it is not possible in this state.
 * @param isValidated the job's files have been checked: one that is resumed need not be checked again
 */
export function nextStatus(
  status: JobStatus,
  what: JobCommand | JobReport,
  isValidated: boolean,
): JobStatus | undefined {
  if (status === 'paused' && what === 'resume' && !isValidated) return 'validating_files';
  return TRANSITIONS[status][what];
}

export function isFinal(status: JobStatus): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}
