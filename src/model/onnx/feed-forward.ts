// The MLP: gate and up in one MatMul, activation(gate) · up, down.

import { type Build, microsoft, project } from './build.ts';

/** […, hidden] → […, hidden]. Returns the output's name. */
export function feedForward(build: Build, options: { layer: number; input: string }): string {
  const { graph, config } = build;
  const { hidden, ffn, packed } = config;
  const prefix = `model.layers.${options.layer}.mlp`;
  const both = project(build, {
    name: `${prefix}.gate_up`,
    input: options.input,
    parts: packed
      ? [[`${prefix}.gate_up_proj`, 2 * ffn]]
      : [
          [`${prefix}.gate_proj`, ffn],
          [`${prefix}.up_proj`, ffn],
        ],
    columns: hidden,
    bias: config.mlpBias,
  });
  const [gate, up] = [`${prefix}.gate`, `${prefix}.up`];
  graph.node('Split', [both], [gate, up], { attributes: { axis: -1, num_outputs: 2 } });
  const active = activation(build, gate);
  const gated = graph.node('Mul', [active, up], [`${prefix}.gated`]);
  return project(build, {
    name: `${prefix}.down_proj`,
    input: gated,
    parts: [[`${prefix}.down_proj`, hidden]],
    columns: ffn,
    bias: config.mlpBias,
    scale: config.residualScale,
  });
}

function activation({ graph, config }: Build, input: string): string {
  const output = [`${input}.active`];
  switch (config.activation) {
    case 'silu':
      // QuickGelu with alpha 1 is x · sigmoid(x): SiLU in one node.
      return graph.node('QuickGelu', [input], output, {
        ...microsoft,
        attributes: { alpha: { float: 1 } },
      });
    case 'gelu': // by tanh
      return graph.node('FastGelu', [input], output, microsoft);
  }
}
