// Attention up to its output projection: Q, K and V in one MatMul, heads normed where the model norms
// them, and GroupQueryAttention, which rotates, writes K and V into the cache and attends.

import { type Build, microsoft, norm, project } from './build.ts';

/** Names of the cos and sin tables, by the number of the rope. */
export type RotaryTables = readonly (readonly [cos: string, sin: string])[];

/** […, hidden] → […, heads · headDim]. Returns the output's name. */
export function attention(
  build: Build,
  tables: RotaryTables,
  options: { layer: number; input: string },
): string {
  const { graph, config } = build;
  const { layer, input } = options;
  const prefix = `model.layers.${layer}.self_attn`;
  const qkv = project(build, {
    name: `${prefix}.qkv`,
    input,
    parts: matricesOf(build, prefix),
    columns: config.hidden,
    bias: config.qkvBias,
  });
  const rope = config.ropeOf[layer] ?? null;
  const [cos, sin] = (rope === null ? undefined : tables[rope]) ?? ['', ''];
  const window = config.windows[layer] ?? null;
  return graph.node(
    'GroupQueryAttention',
    [
      ...(config.headNorms ? normedHeads(build, prefix, qkv) : [qkv, '', '']),
      `past.${layer}.key`,
      `past.${layer}.value`,
      'seqlens_k',
      'total_sequence_length',
      cos,
      sin,
    ],
    [`${prefix}.out`, `present.${layer}.key`, `present.${layer}.value`],
    {
      ...microsoft,
      attributes: {
        num_heads: config.heads,
        kv_num_heads: config.kvHeads,
        scale: { float: config.attentionScale },
        do_rotary: rope === null ? 0 : 1,
        rotary_interleaved: 0,
        ...(window === null ? {} : { local_window_size: window }),
        ...(config.attentionSoftcap === null
          ? {}
          : { softcap: { float: config.attentionSoftcap } }),
      },
    },
  );
}

function matricesOf({ config }: Build, prefix: string): (readonly [string, number])[] {
  const { heads, kvHeads, headDim, packed } = config;
  if (packed) return [[`${prefix}.qkv_proj`, (heads + 2 * kvHeads) * headDim]];
  return [
    [`${prefix}.q_proj`, heads * headDim],
    [`${prefix}.k_proj`, kvHeads * headDim],
    [`${prefix}.v_proj`, kvHeads * headDim],
  ];
}

/** Q, K, V apart; each head of Q and K normed. Constants `heads.*` are made by `declareHeads`. */
function normedHeads(build: Build, prefix: string, qkv: string): string[] {
  const { graph, config } = build;
  const [q, k, v] = [`${prefix}.q`, `${prefix}.k`, `${prefix}.v`];
  graph.node('Split', [qkv, 'heads.split'], [q, k, v], { attributes: { axis: -1 } });
  const normed = (name: string): string => {
    const apart = graph.node('Reshape', [name, 'heads.apart'], [`${name}.heads`]);
    const weight = `${name}_norm.weight`;
    const heads = norm(build, { weight, size: config.headDim, input: apart });
    return graph.node('Reshape', [heads, 'heads.together'], [`${name}.normed`]);
  };
  return [normed(q), normed(k), v];
}

/** Constants that norms on heads need: sizes of Q, K and V, and shapes with and without a heads' axis. */
export function declareHeads({ graph, config }: Build): void {
  if (!config.headNorms) return;
  const { heads, kvHeads, headDim } = config;
  graph.constant('heads.split', [heads * headDim, kvHeads * headDim, kvHeads * headDim], [3]);
  graph.constant('heads.apart', [0, 0, -1, headDim], [4]);
  graph.constant('heads.together', [0, 0, -1], [3]);
}

/** amplitude · cos and sin of position · frequency, each [positions, rotated pairs]. */
export function rotaryTables({ graph, config }: Build): RotaryTables {
  const { positions } = config;
  return config.ropes.map(({ frequencies, amplitude }, rope) => {
    const table = (wave: 'cos' | 'sin'): string =>
      graph.weight(
        { kind: 'rotary', wave, positions, frequencies: [...frequencies], amplitude },
        { name: `rotary.${rope}.${wave}`, type: 'float32', shape: [positions, frequencies.length] },
      );
    return [table('cos'), table('sin')];
  });
}
