import { fail } from '../../base/index.ts';
import { gateVerdict, type Gate, type GateScore } from '../../delivery/index.ts';
import { LATEST, referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { Platform } from '../platform.ts';
import type { Measure } from './measure.ts';

export interface PromotionRequest {
  /** Whose key asks; null is the operator. */
  readonly tenant: string | null;
  readonly reference: string;
  readonly alias: string;
  /** Id of the key, or `cli`; null: a rule. */
  readonly actor: string | null;
  /** False passes by the gate, which is recorded. */
  readonly isGated: boolean;
}

/** Points aliases at versions, where the task's gate lets it. */
export class Promotions {
  readonly #platform: Pick<Platform, 'registry' | 'delivery'>;
  readonly #measure: Measure;

  constructor(platform: Pick<Platform, 'registry' | 'delivery'>, measure: Measure) {
    this.#platform = platform;
    this.#measure = measure;
  }

  /**
   * A score that is known is not measured again, so that a client that gave up waiting may ask once more. Whoever promotes `latest` ends the
   * task's canary: what it was compared with answers no more.
   * @throws ADAPTER_NOT_FOUND; REQUEST_INVALID; PROMOTION_REFUSED with the scores; what the measurement throws
   */
  async promote(request: PromotionRequest): Promise<AdapterVersion> {
    const { registry, delivery } = this.#platform;
    const { tenant, alias, actor } = request;
    const version = registry.resolve(tenant, request.reference);
    const event = { tenant: version.tenant, task: version.task, version: version.version, actor };
    const gate = this.#gateOf(version, alias);
    let message = `${alias} was pointed at it`;
    if (gate && request.isGated) {
      message = `${alias}: ${await this.#pass(version, alias, actor)}`;
    } else if (gate) {
      message += ` by the gate of ${gate.metric}`;
    }
    const kind = gate && !request.isGated ? 'promoted-without-gate' : 'promoted';
    return delivery.during({ ...event, kind, message }, () => {
      const promoted = registry.promote(tenant, referenceOf(version), alias);
      if (alias === LATEST && actor !== null) {
        delivery.canaries.stop(version.tenant, version.task, actor, `${referenceOf(version)} was promoted`);
      }
      return promoted;
    });
  }

  /** Only measures: whether the version could be promoted now. @throws PROMOTION_REFUSED */
  async check(version: AdapterVersion, actor: string | null): Promise<void> {
    if (this.#gateOf(version, LATEST)) await this.#pass(version, LATEST, actor);
  }

  /** The gate guards what answers: `latest`, and every alias that has a part of the task's requests. */
  #gateOf({ tenant, task }: AdapterVersion, alias: string): Gate | undefined {
    const { registry, delivery } = this.#platform;
    const answers = alias === LATEST || registry.split(tenant, task)?.entries.some((entry) => entry.version === alias);
    return answers === true ? delivery.gates.find(tenant, task) : undefined;
  }

  /** @returns what was found, when the gate lets the version through */
  async #pass(version: AdapterVersion, alias: string, actor: string | null): Promise<string> {
    const { registry, delivery } = this.#platform;
    const { tenant, task } = version;
    for (;;) {
      const gate = this.#gateOf(version, alias);
      if (!gate) return 'its gate was taken away meanwhile';
      const current = registry.find(tenant, `${tenant}/${task}@${alias}`);
      const compared = gate.tolerance === null || current?.digest === version.digest ? undefined : current;
      const candidate = await this.#scoreOf(version, gate);
      const before = compared ? await this.#scoreOf(compared, gate) : null;
      // What it was held against may have changed while it was measured.
      const isSame =
        this.#gateOf(version, alias)?.changedAt === gate.changedAt &&
        registry.find(tenant, `${tenant}/${task}@${alias}`)?.digest === current?.digest;
      if (!isSame) continue;
      const { isPassed, message } = gateVerdict(gate, candidate, before);
      if (isPassed) return message;
      delivery.record({ tenant, task, kind: 'promotion-refused', version: version.version, actor, message });
      return fail('PROMOTION_REFUSED', `${referenceOf(version)} may not be promoted: ${message}`, { param: 'version' });
    }
  }

  async #scoreOf(version: AdapterVersion, gate: Gate): Promise<GateScore> {
    const { registry, delivery } = this.#platform;
    const known = delivery.gates.score(version.tenant, version.digest, gate);
    if (known) return known;
    await using data = await delivery.gates.data(gate);
    const score = await this.#measure(version, gate, data.path);
    delivery.gates.addScore(version.tenant, version.digest, gate, score);
    registry.recordMetrics(version, { [`gate.${gate.metric}`]: score.value });
    return score;
  }
}
