// How far two rows of logits are apart. Pure.

/** KL(p ‖ q) of what softmax makes of the logits, in nats: 0 for the same, never less. */
export function divergence(p: Float32Array, q: Float32Array): number {
  const [normP, normQ] = [logSum(p), logSum(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = (p[i] ?? 0) - normP;
    const share = Math.exp(logP);
    if (share > 0) sum += share * (logP - ((q[i] ?? 0) - normQ));
  }
  return Math.max(0, sum);
}

/** log Σ exp, taken at the largest so that nothing overflows. */
function logSum(logits: Float32Array): number {
  const most = logits[largest(logits)] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

/** Where the largest stands; the first of several. */
export function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  return best;
}
