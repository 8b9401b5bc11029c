import { isClassifier, scoreName, withScore } from '../classifier.ts';
import type { PeftConfig } from '../peft-config.ts';
import { adaloraLayout } from './adalora-layout.ts';
import { boftLayout, fourierftLayout, hraLayout, missLayout } from './delta-layouts.ts';
import { loraLayout } from './lora-layout.ts';
import { ia3Layout, lnTuningLayout, lohaLayout, lokrLayout, oftLayout, veraLayout } from './module-layouts.ts';
import { randloraLayout, vbloraLayout } from './shared-layouts.ts';
import { prefixLayout, promptLayout } from './prompt-layout.ts';
import type { TensorLayout } from './tensor-layout.ts';
import { tokenLayout } from './token-layout.ts';

/** How the tensors of an adapter with this config are named and shaped. @throws CONFIG_INVALID for a pattern that is no regular expression */
export function layoutOf(config: PeftConfig): TensorLayout {
  const layout = methodLayout(config);
  return isClassifier(config) ? withScore(layout, scoreName(config)) : layout;
}

function methodLayout(config: PeftConfig): TensorLayout {
  switch (config.peft_type) {
    case 'LORA':
      return loraLayout(config);
    case 'IA3':
      return ia3Layout(config);
    case 'VERA':
      return veraLayout(config);
    case 'LOHA':
      return lohaLayout(config);
    case 'LOKR':
      return lokrLayout(config);
    case 'OFT':
      return oftLayout(config);
    case 'ADALORA':
      return adaloraLayout(config);
    case 'BOFT':
      return boftLayout(config);
    case 'HRA':
      return hraLayout(config);
    case 'MISS':
      return missLayout(config);
    case 'FOURIERFT':
      return fourierftLayout(config);
    case 'RANDLORA':
      return randloraLayout(config);
    case 'VBLORA':
      return vbloraLayout(config);
    case 'PROMPT_TUNING':
    case 'P_TUNING':
      return promptLayout(config);
    case 'PREFIX_TUNING':
      return prefixLayout(config);
    case 'LN_TUNING':
      return lnTuningLayout();
    case 'TRAINABLE_TOKENS':
      return tokenLayout(config);
    default:
      return config satisfies never;
  }
}
