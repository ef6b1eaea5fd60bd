// A worker's `/metrics`, the only thing it says over HTTP.

import { Fault, sentence, toFault } from '../std/fault.ts';
import { type Meter, metricsContentType } from '../telemetry/metric.ts';

export type MetricsServer = { readonly url: string; stop(): Promise<void> };

/** Throws a Fault `config` when the port is taken. */
export function serveMetrics(options: {
  readonly meter: Meter;
  readonly host: string;
  readonly port: number;
}): MetricsServer {
  const { meter, host, port } = options;
  const answer = async (request: Request): Promise<Response> => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (new URL(request.url).pathname !== '/metrics') {
      return new Response('There is only /metrics here.\n', { status: 404 });
    }
    if (!isRead) return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } });
    const headers = { 'content-type': metricsContentType };
    return new Response(await meter.read(), { headers });
  };
  try {
    const server = Bun.serve({ hostname: host, port, reusePort: false, fetch: answer });
    const shown = host.includes(':') ? `[${host}]` : host;
    return {
      url: `http://${shown}:${server.port}/metrics`,
      stop: () => server.stop(true),
    };
  } catch (cause) {
    throw new Fault(
      'config',
      `cannot serve metrics on ${host}:${port}: ${sentence(toFault(cause).message)} Stop what uses the ` +
        'port, or choose another --starting-metrics-port (0: none).',
      { cause },
    );
  }
}
