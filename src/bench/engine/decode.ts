// Decode steps: what the engine adds to a bare Run, and what a batch gains, at about 100 tokens of
// context (64 to 136).

import { summarize } from '../statistics.ts';
import { openStepBench } from '../step.ts';
import { type BenchModel, demoModel, randomBenchModel } from './model.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const batches = [1, 8] as const;
const stepCount = 72;
/** Engine step over bare Run. */
const overheadMost = 1.1;

export async function measureDecode({ quick }: Effort): Promise<Section> {
  const models = [demoModel, await randomBenchModel('int4'), await randomBenchModel('none')];
  const gains: Readonly<Record<string, number>> = { int4: 2, none: 4 };
  const sections: Section[] = [];
  for (const model of models) {
    const gainLeast = model === demoModel ? null : (gains[model.quantization] ?? null);
    sections.push(await measureModel(model, quick ? 2 : 7, gainLeast));
  }
  return {
    rows: sections.flatMap(({ rows }) => rows),
    claims: sections.flatMap(({ claims }) => claims),
    figures: Object.assign({}, ...sections.map(({ figures }) => figures)),
  };
}

async function measureModel(
  model: BenchModel,
  roundCount: number,
  gainLeast: number | null,
): Promise<Section> {
  const { label, modelName, quantization } = model;
  const bench = await openStepBench({ slots: 8, modelName, quantization, stepCount, roundCount });
  try {
    const steps = await bench.measure(batches);
    const [alone, eight] = steps.map((step) => step.roundsMs);
    const gains = (alone ?? []).map((ms, round) => (8 * ms) / (eight?.[round] ?? Number.NaN));
    const gain = summarize(gains).median;
    return {
      rows: steps.flatMap((s) => [
        summaryRow(`${label}: step of ${s.batch}, engine`, 'ms', s.engineMs),
        summaryRow(`${label}: step of ${s.batch}, bare Run`, 'ms', s.bareMs),
      ]),
      claims: [
        ...steps.map((s) => ({
          name: `${label}: engine step / bare Run at batch ${s.batch}`,
          found: s.ratio,
          wanted: overheadMost,
          at: 'most' as const,
        })),
        ...(gainLeast === null
          ? []
          : [
              {
                name: `${label}: tokens/s at batch 8 / at batch 1`,
                found: gain,
                wanted: gainLeast,
                at: 'least' as const,
              },
            ]),
      ],
      figures: { [label]: { steps, gain } },
    };
  } finally {
    await bench.stop();
  }
}
