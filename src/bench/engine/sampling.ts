// The sampler on one row of logits over 49,152 tokens.

import { measureSampler } from '../sampler.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const vocabSize = 49_152;
const rowMsMost = 0.3;

export function measureSampling(_effort: Effort): Section {
  const figures = measureSampler(vocabSize);
  const found = [
    { name: 'greedy', ms: figures.greedyMs },
    { name: 'temperature, top_p and top_k', ms: figures.commonMs },
    { name: 'the same with penalties', ms: figures.penaltiesMs },
    { name: 'temperature alone', ms: figures.temperatureMs },
    { name: 'temperature and top_p', ms: figures.topPMs },
  ];
  return {
    rows: found.map(({ name, ms }) => summaryRow(`sampler, 49k, ${name}`, 'ms', ms)),
    claims: found.map(({ name, ms }) => ({
      name: `sampler, a row of 49k, ${name}, ms`,
      found: ms.median,
      wanted: rowMsMost,
      at: 'most',
    })),
    figures: { sampler: figures },
  };
}
