// GET /metrics, and the values of the whole gateway that are looked at only when it is read.

import { metricsContentType } from '../telemetry/metric.ts';
import type { Gateway } from './gateway.ts';

export async function showMetrics(gateway: Gateway): Promise<Response> {
  const text = await gateway.meter.read();
  return new Response(text, { headers: { 'content-type': metricsContentType } });
}

export function measureGateway({ meter, gate, queue, cluster }: Gateway): void {
  meter.onRead(() => {
    meter.set('tdist_waiting_requests', {}, queue.waitingCount);
    meter.set('tdist_running_requests', {}, gate.count - queue.waitingCount);
    meter.set('tdist_process_resident_bytes', {}, process.memoryUsage.rss());
    // Who has left is no longer shown.
    meter.clear('tdist_worker_up');
    for (const { heartbeat } of cluster.members()) {
      const { role, worker, card, state } = heartbeat;
      const labels = { role, worker, model: card.model };
      meter.set('tdist_worker_up', labels, state === 'ready' ? 1 : 0);
    }
  });
}
