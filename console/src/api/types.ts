/** The shapes of the HTTP API, by the server's own schemas: a change there that the console does not know does not compile here. */
import type { z } from '@hono/zod-openapi';
import type { adapterList, adapterObject, adapterWithHistory } from '../../../src/http/wire/adapters.ts';
import type { classificationList } from '../../../src/http/wire/classification.ts';
import type { dataCheck } from '../../../src/http/wire/data-check.ts';
import type {
  canary,
  canaryRequest,
  deliveryEvents,
  gate,
  gateRequest,
  shadow,
  shadowReport,
} from '../../../src/http/wire/delivery.ts';
import type { fileList, fileObject } from '../../../src/http/wire/files.ts';
import type {
  checkpointList,
  checkpointObject,
  createJobRequest,
  eventList,
  eventObject,
  jobObject,
} from '../../../src/http/wire/fine-tuning.ts';
import type { priceChange, priceList, priceObject } from '../../../src/http/wire/prices.ts';
import type { loraAdapterList } from '../../../src/http/wire/lora-adapters.ts';
import type { modelList } from '../../../src/http/wire/models.ts';
import type { session } from '../../../src/http/wire/session.ts';
import type { taskRoute, taskRouteList } from '../../../src/http/wire/task-routes.ts';
import type {
  erasedTenant,
  tenant,
  tenantChange,
  tenantList,
  tenantWithUsage,
} from '../../../src/http/wire/tenants.ts';
import type { traffic } from '../../../src/http/wire/traffic.ts';

export type Session = z.output<typeof session>;
export type Traffic = z.output<typeof traffic>;
export type Adapter = z.output<typeof adapterObject>;
export type AdapterList = z.output<typeof adapterList>;
export type AdapterWithHistory = z.output<typeof adapterWithHistory>;
export type Residences = z.output<typeof loraAdapterList>;
export type TaskRoute = z.output<typeof taskRoute>;
export type TaskRouteList = z.output<typeof taskRouteList>;
export type Gate = z.output<typeof gate>;
export type GateRequest = z.input<typeof gateRequest>;
export type Canary = z.output<typeof canary>;
export type CanaryRequest = z.input<typeof canaryRequest>;
export type Shadow = z.output<typeof shadow>;
export type ShadowReport = z.output<typeof shadowReport>;
export type DeliveryEvents = z.output<typeof deliveryEvents>;
export type Tenant = z.output<typeof tenant>;
export type TenantList = z.output<typeof tenantList>;
export type TenantWithUsage = z.output<typeof tenantWithUsage>;
export type TenantChange = z.output<typeof tenantChange>;
export type Price = z.output<typeof priceObject>;
export type PriceList = z.output<typeof priceList>;
export type PriceChange = z.input<typeof priceChange>;
export type TenantErasure = z.output<typeof erasedTenant>;
export type ClassificationList = z.output<typeof classificationList>;
export type ModelList = z.output<typeof modelList>;
export type StoredFile = z.output<typeof fileObject>;
export type FileList = z.output<typeof fileList>;
export type DataCheck = z.output<typeof dataCheck>;
export type Job = z.output<typeof jobObject>;
export type JobRequest = z.input<typeof createJobRequest>;
export type JobEvent = z.output<typeof eventObject>;
export type JobEventList = z.output<typeof eventList>;
export type Checkpoint = z.output<typeof checkpointObject>;
export type CheckpointList = z.output<typeof checkpointList>;

/** Paths of `/openapi.json` with their methods: what this server offers. */
export type Offered = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
