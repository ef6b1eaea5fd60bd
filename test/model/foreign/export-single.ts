// Attention as older exporters wrote it: single operators over a Concat of past and new.

import { ExportOps } from './export-ops.ts';

export class SingleAttention extends ExportOps {
  protected cache(side: string, layer: number): string[] {
    return ['key', 'value'].map((part) => this.name(`${side}.${layer}.${part}`));
  }

  /** What is added to scores, [batch, 1, sequence, total]: −∞ above the diagonal and where the mask has 0. */
  protected mask(): string[] {
    const mask = this.name('attention_mask');
    const total = this.op('Gather', [this.op('Shape', [mask]), this.ints(1)], { axis: 0 });
    const ids = this.op('Shape', [this.name('input_ids')]);
    const sequence = this.op('Gather', [ids, this.ints(1)], { axis: 0 });
    const past = this.op('Sub', [total, sequence]);
    const rows = this.op('Range', [past, total, this.ints(1)]);
    const columns = this.op('Range', [this.ints(0), total, this.ints(1)]);
    const sees = this.op('LessOrEqual', [columns, this.op('Reshape', [rows, this.ints([-1, 1])])]);
    const [zero, low] = [this.float(0), this.float(-3e38)];
    const causal = this.op('Where', [sees, zero, low]);
    const padded = this.op('Equal', [mask, this.ints(0)]);
    const padding = this.op('Where', [padded, low, zero]);
    const wide = this.op('Unsqueeze', [padding, this.ints([1, 2])]);
    return [this.op('Min', [causal, wide])];
  }

  /** cos and sin of each token's angles, [batch, 1, sequence, headDim]. */
  protected waves(): string[] {
    const { attention, flaw } = this.kind;
    const positions =
      flaw === 'positions-of-kv' ? this.positionsOfPast() : this.name('position_ids');
    if (attention === 'eager') {
      // Tables of all angles, cut at the length of the KV as Llama's first code did.
      const length = this.op('Add', [this.lengthOfPast(), this.ints([1])]);
      return ['cos', 'sin'].map((wave) => {
        const f = wave === 'cos' ? Math.cos : Math.sin;
        const values = Float32Array.from(
          { length: this.config.max_position_embeddings * this.config.head_dim },
          (_, i) =>
            f(
              Math.floor(i / this.config.head_dim) *
                this.frequency((i % this.config.head_dim) % this.half),
            ),
        );
        const all = this.values(`${wave}_cached`, values, [
          this.config.max_position_embeddings,
          this.config.head_dim,
        ]);
        const end = this.op('Add', [length, this.ints([this.config.max_position_embeddings])]);
        const cut = this.op('Slice', [all, this.ints([0]), end, this.ints([0])]);
        const own = this.op('Gather', [cut, positions], { axis: 0 });
        return this.op('Unsqueeze', [own, this.ints([1])]);
      });
    }
    const frequencies = Float32Array.from({ length: this.half }, (_, i) => this.frequency(i));
    const inverse = this.values('inv_freq', frequencies, [1, 1, this.half]);
    const places = this.op('Cast', [this.op('Unsqueeze', [positions, this.ints([2])])], {
      to: 1,
    });
    const angles = this.op('Mul', [places, inverse]);
    const both = this.op('Concat', [angles, angles], { axis: -1 });
    return ['Cos', 'Sin'].map((wave) =>
      this.op('Unsqueeze', [this.op(wave, [both]), this.ints([1])]),
    );
  }

  protected lengthOfPast(): string {
    const shape = this.op('Shape', [this.name('past_key_values.0.key')]);
    return this.op('Slice', [shape, this.ints([2]), this.ints([3]), this.ints([0])]);
  }

  protected positionsOfPast(): string {
    const past = this.op('Reshape', [this.lengthOfPast(), this.ints([], [0])]);
    const ids = this.op('Shape', [this.name('input_ids')]);
    const sequence = this.op('Gather', [ids, this.ints(1)], { axis: 0 });
    const end = this.op('Add', [past, sequence]);
    const row = this.op('Range', [past, end, this.ints(1)]);
    return this.op('Unsqueeze', [row, this.ints([0])]);
  }

  protected single(layer: number, qkv: readonly string[], mask: string, waves: string[]): string {
    const { attention, flaw } = this.kind;
    const apart = (name: string): string =>
      this.op(
        'Transpose',
        [this.op('Reshape', [name, this.ints([0, 0, -1, this.config.head_dim])])],
        {
          perm: [0, 2, 1, 3],
        },
      );
    const [q = '', k = '', v = ''] = qkv.map(apart);
    const [pastKey = '', pastValue = ''] = this.cache('past_key_values', layer);
    const [key = '', value = ''] = this.cache('present', layer);
    this.graph.node('Concat', [pastKey, this.rotate(k, waves)], [key], {
      attributes: { axis: 2 },
    });
    this.graph.node('Concat', [pastValue, v], [value], { attributes: { axis: -2 } });
    const query = this.rotate(q, waves);
    const keys = this.op('Transpose', [this.repeat(key)], { perm: [0, 1, 3, 2] });
    let scores =
      attention === 'eager'
        ? this.op('Div', [
            this.op('MatMul', [query, keys]),
            this.float(flaw === 'odd-scale' ? 3 : Math.sqrt(this.config.head_dim)),
          ])
        : this.scaledProduct(query, keys);
    if (flaw === 'capped-scores') scores = this.op('Tanh', [scores]);
    if (flaw === 'second-bias') scores = this.op('Add', [scores, this.float(0.5)]);
    const weights = this.op('Softmax', [this.op('Add', [scores, mask])], { axis: -1 });
    const safe =
      attention === 'eager'
        ? weights
        : this.op('Where', [this.op('IsNaN', [weights]), this.float(0), weights]);
    const attended = this.op('MatMul', [safe, this.repeat(value)]);
    const together = this.op('Transpose', [attended], { perm: [0, 2, 1, 3] });
    return this.op('Reshape', [together, this.ints([0, 0, -1])]);
  }

  /** Both sides times √scale, which is computed from the query's shape. */
  protected scaledProduct(query: string, keys: string): string {
    const shape = this.op('Shape', [query]);
    const size = this.op('Slice', [shape, this.ints([-1]), this.ints([2 ** 40]), this.ints([0])]);
    const root = this.op('Sqrt', [this.op('Cast', [size], { to: 1 })]);
    const scale = this.op('Sqrt', [this.op('Div', [this.float(1), root])]);
    return this.op('MatMul', [this.op('Mul', [query, scale]), this.op('Mul', [keys, scale])]);
  }

  protected rotate(name: string, [cos = '', sin = '']: readonly string[]): string {
    const slice = (begin: number, end: number): string =>
      this.op('Slice', [name, this.ints([begin]), this.ints([end]), this.ints([3])]);
    const turned = this.op(
      'Concat',
      [this.op('Neg', [slice(this.half, this.config.head_dim)]), slice(0, this.half)],
      {
        axis: -1,
      },
    );
    return this.op('Add', [this.op('Mul', [name, cos]), this.op('Mul', [turned, sin])]);
  }

  /** repeat_kv: [b, kvHeads, t, d] → [b, heads, t, d]. */
  protected repeat(name: string): string {
    const shape = this.op('Shape', [name]);
    const at = (index: number): string =>
      this.op('Slice', [shape, this.ints([index]), this.ints([index + 1]), this.ints([0])]);
    const [batch, total] = [at(0), at(2)];
    const sizes = [
      batch,
      this.ints([this.config.num_key_value_heads]),
      this.ints([this.config.num_attention_heads / this.config.num_key_value_heads]),
      total,
    ];
    const wide = this.op('Expand', [
      this.op('Unsqueeze', [name, this.ints([this.kind.flaw === 'repeated-apart' ? 1 : 2])]),
      this.op('Concat', [...sizes, this.ints([this.config.head_dim])], { axis: 0 }),
    ]);
    const flat = this.op(
      'Concat',
      [
        batch,
        this.ints([this.config.num_attention_heads]),
        total,
        this.ints([this.config.head_dim]),
      ],
      {
        axis: 0,
      },
    );
    return this.op('Reshape', [wide, flat]);
  }
}
